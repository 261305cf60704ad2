// A worker on sqs-consumer, as its README shows it: batches of ten, and the library deletes what the handler returns.
//
// VARIANT=correct       the effect of an order is the creation of a file, which can happen only once
//         delete-first  deletes the batch itself, before the work
//         no-guard      the effect is a line more, each time that the order comes
// Of a DeleteMessageBatch answer the library reads no entry (deleteMessageBatch in its consumer.js): what is in `Failed`
// comes again, whatever a handler does. So `no-guard` is its `ignores-failed` too, and goes by both names.
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DeleteMessageBatchCommand, SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const { QUEUE_URL: queueUrl, EFFECTS: effects, VARIANT: variant = "correct" } = process.env;
const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const workMs = number("WORK_MS", 0);
const waitTimeSeconds = number("WAIT_S", 5);
const sqs = new SQSClient({});
const guarded = { correct: true, "delete-first": true, "no-guard": false, "ignores-failed": false }[variant];
if (guarded === undefined) throw new Error(`VARIANT: no ${variant}`);

function keyOf(text) {
  const body = JSON.parse(text);
  return String(body.orderId ?? body.detail.metadata.id);
}

function apply(key) {
  const place = path.join(effects, key);
  if (!guarded) return fs.appendFileSync(place, `${process.pid}\n`);
  const written = path.join(effects, `.${key}.${process.pid}`);
  fs.writeFileSync(written, `${process.pid}\n`);
  try {
    fs.linkSync(written, place);
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  } finally {
    fs.unlinkSync(written);
  }
}

async function handle(messages) {
  if (variant === "delete-first") {
    const Entries = messages.map((m) => ({ Id: m.MessageId, ReceiptHandle: m.ReceiptHandle }));
    await sqs.send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
  }
  const done = [];
  for (const message of messages) {
    try {
      const key = keyOf(message.Body);
      await sleep(workMs / 2);
      apply(key);
      await sleep(workMs / 2);
      done.push(message);
    } catch (error) {
      console.error(`${message.MessageId}: ${error}`);
      // The rest of its group must not overtake it.
      if (queueUrl.endsWith(".fifo")) break;
    }
  }
  return done;
}

const consumer = Consumer.create({
  queueUrl,
  sqs,
  batchSize: number("BATCH", 10),
  waitTimeSeconds,
  // How long `stopped` may wait for the last poll and the last batch.
  pollingCompleteWaitTimeMs: 1000 * (waitTimeSeconds + 600),
  suppressFifoWarning: true,
  shouldDeleteMessages: variant !== "delete-first",
  handleMessageBatch: handle,
});
for (const event of ["error", "processing_error", "timeout_error"]) consumer.on(event, (error) => console.error(error));
consumer.on("stopped", () => process.exit(0));
process.on("SIGTERM", () => consumer.stop());
consumer.start();
console.log("polling");
