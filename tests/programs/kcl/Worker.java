import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import java.util.UUID;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.exceptions.ThrottlingException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.polling.PollingConfig;
import sun.misc.Signal;

/**
 * A worker on the Kinesis Client Library: work on a batch of records, then checkpoint.
 *
 * <p>VARIANT: correct; delete-first (the checkpoint comes before the work); no-guard (the effect is done again each time
 * that an order comes). HTTP=2 takes the library's own Kinesis client (KinesisClientUtil), which speaks HTTP/2 only.
 */
public final class Worker implements ShardRecordProcessor {
    private static final String VARIANT = env("VARIANT", "correct");
    private static final Path EFFECTS = Path.of(env("EFFECTS", null));
    private static final long WORK_MS = Long.parseLong(env("WORK_MS", "0"));
    private static final ObjectMapper JSON = new ObjectMapper();

    private static String env(String name, String otherwise) {
        String value = System.getenv().getOrDefault(name, otherwise);
        if (value == null) throw new IllegalArgumentException(name + " is not set");
        return value;
    }

    private static void apply(String key) throws IOException {
        String line = ProcessHandle.current().pid() + "\n";
        Path place = EFFECTS.resolve(key);
        if (VARIANT.equals("no-guard")) {
            Files.writeString(place, line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
            return;
        }
        Path written = EFFECTS.resolve("." + key + "." + ProcessHandle.current().pid());
        Files.writeString(written, line);
        try {
            Files.createLink(place, written);
        } catch (FileAlreadyExistsException there) {
            // An earlier delivery did it.
        } finally {
            Files.delete(written);
        }
    }

    private static void handle(KinesisClientRecord record) throws InterruptedException {
        try {
            JsonNode body = JSON.readTree(StandardCharsets.UTF_8.decode(record.data()).toString());
            JsonNode key = body.hasNonNull("orderId") ? body.get("orderId") : body.at("/detail/metadata/id");
            Thread.sleep(WORK_MS / 2);
            apply(key.asText());
            Thread.sleep(WORK_MS / 2);
        } catch (IOException error) {
            System.err.println(record.sequenceNumber() + ": " + error);
        }
    }

    private static void checkpoint(RecordProcessorCheckpointer checkpointer) {
        try {
            checkpointer.checkpoint();
        } catch (ShutdownException | ThrottlingException | InvalidStateException error) {
            // The lease is somebody else's now, or the table is slow: the records since the last checkpoint come again.
            System.err.println("no checkpoint: " + error);
        }
    }

    @Override
    public void initialize(InitializationInput input) {}

    @Override
    public void processRecords(ProcessRecordsInput input) {
        if (input.records().isEmpty()) return;
        if (VARIANT.equals("delete-first")) checkpoint(input.checkpointer());
        try {
            for (KinesisClientRecord record : input.records()) handle(record);
        } catch (InterruptedException error) {
            // Told to end in the middle of a batch; without a checkpoint it comes again.
            Thread.currentThread().interrupt();
            return;
        }
        if (!VARIANT.equals("delete-first")) checkpoint(input.checkpointer());
    }

    @Override
    public void leaseLost(LeaseLostInput input) {}

    @Override
    public void shardEnded(ShardEndedInput input) {
        checkpoint(input.checkpointer());
    }

    @Override
    public void shutdownRequested(ShutdownRequestedInput input) {}

    public static void main(String[] arguments) throws Exception {
        if (!Set.of("correct", "delete-first", "no-guard").contains(VARIANT)) {
            throw new IllegalArgumentException("VARIANT: no " + VARIANT);
        }
        String stream = env("STREAM_NAME", null);
        KinesisAsyncClient kinesis = env("HTTP", "1.1").equals("2")
                ? KinesisClientUtil.createKinesisAsyncClient(KinesisAsyncClient.builder())
                : KinesisAsyncClient.builder()
                        .httpClientBuilder(NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP1_1))
                        .build();
        ConfigsBuilder configs = new ConfigsBuilder(
                new SingleStreamTracker(
                        stream, InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON)),
                env("APPLICATION", stream + "-worker"),
                kinesis,
                DynamoDbAsyncClient.create(),
                CloudWatchAsyncClient.create(),
                InetAddress.getLocalHost().getHostName() + ":" + UUID.randomUUID(),
                Worker::new);
        // The library sleeps for a whole interval of these after it made the first leases: 60 s by itself.
        long shardSyncMs = Long.parseLong(env("SHARD_SYNC_MS", "1000"));
        long failoverMs = Long.parseLong(env("FAILOVER_MS", "10000"));
        Scheduler scheduler = new Scheduler(
                configs.checkpointConfig(),
                configs.coordinatorConfig(),
                configs.leaseManagementConfig()
                        .failoverTimeMillis(failoverMs)
                        // Only a leader assigns leases, and one that was killed leads for two minutes by itself.
                        .dynamoDbLockBasedLeaderLeaseDurationInMillis(3 * failoverMs)
                        .dynamoDbLockBasedLeaderHeartbeatPeriodInMillis(failoverMs)
                        .shardSyncIntervalMillis(shardSyncMs),
                configs.lifecycleConfig(),
                configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig(),
                configs.retrievalConfig()
                        .retrievalSpecificConfig(new PollingConfig(stream, kinesis)
                                .maxRecords(Integer.parseInt(env("BATCH", "10")))
                                .idleTimeBetweenReadsInMillis(200)));
        Signal.handle(new Signal("TERM"), signal -> scheduler.startGracefulShutdown());
        scheduler.run();
        System.exit(0);
    }
}
