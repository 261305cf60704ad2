// A worker on the AWS SDK for Go v2: receive, work, delete the batch.
//
// VARIANT: correct; delete-first (before the work); no-guard (the effect is done again each time that an order comes);
// ignores-failed (as no-guard, and trusts that what it asked to delete is gone: Failed is not looked at).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const deleteTries = 3

type worker struct {
	queue        *sqs.Client
	url, effects string
	variant      string
	batch, waitS int32
	work         time.Duration
}

func number(name string, otherwise int) int {
	text, given := os.LookupEnv(name)
	if !given {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return value
}

func keyOf(text string) (string, error) {
	var body struct {
		OrderID string `json:"orderId"`
		Detail  struct {
			Metadata struct {
				ID string `json:"id"`
			} `json:"metadata"`
		} `json:"detail"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		return "", err
	}
	if body.OrderID != "" {
		return body.OrderID, nil
	}
	if body.Detail.Metadata.ID != "" {
		return body.Detail.Metadata.ID, nil
	}
	return "", errors.New("no orderId and no detail.metadata.id")
}

func (w *worker) apply(key string) error {
	line := fmt.Sprintf("%d\n", os.Getpid())
	place := filepath.Join(w.effects, key)
	if w.variant == "no-guard" || w.variant == "ignores-failed" {
		file, err := os.OpenFile(place, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = file.WriteString(line)
		return errors.Join(err, file.Close())
	}
	written := filepath.Join(w.effects, fmt.Sprintf(".%s.%d", key, os.Getpid()))
	if err := os.WriteFile(written, []byte(line), 0o644); err != nil {
		return err
	}
	err := os.Link(written, place)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(written))
}

// handle gives those that were done.
func (w *worker) handle(messages []types.Message) []types.Message {
	var done []types.Message
	for _, message := range messages {
		key, err := keyOf(aws.ToString(message.Body))
		if err == nil {
			time.Sleep(w.work / 2)
			err = w.apply(key)
			time.Sleep(w.work / 2)
		}
		if err == nil {
			done = append(done, message)
			continue
		}
		log.Printf("%s: %v", aws.ToString(message.MessageId), err)
		if strings.HasSuffix(w.url, ".fifo") {
			break // the rest of its group must not overtake it
		}
	}
	return done
}

func (w *worker) delete(ctx context.Context, messages []types.Message) error {
	var entries []types.DeleteMessageBatchRequestEntry
	for n, message := range messages {
		entry := types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(n)), ReceiptHandle: message.ReceiptHandle}
		entries = append(entries, entry)
	}
	for try := 0; try < deleteTries && len(entries) > 0; try++ {
		answer, err := w.queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &w.url, Entries: entries})
		if err != nil {
			return err
		}
		if w.variant == "ignores-failed" {
			return nil
		}
		failed := map[string]bool{}
		for _, entry := range answer.Failed {
			failed[aws.ToString(entry.Id)] = true
		}
		var again []types.DeleteMessageBatchRequestEntry
		for _, entry := range entries {
			if failed[aws.ToString(entry.Id)] {
				again = append(again, entry)
			}
		}
		entries = again
	}
	return nil
}

func (w *worker) poll(ctx context.Context) error {
	answer, err := w.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &w.url, MaxNumberOfMessages: w.batch, WaitTimeSeconds: w.waitS,
	})
	if err != nil || len(answer.Messages) == 0 {
		return err
	}
	if w.variant == "delete-first" {
		if err := w.delete(ctx, answer.Messages); err != nil {
			return err
		}
		w.handle(answer.Messages)
		return nil
	}
	if done := w.handle(answer.Messages); len(done) > 0 {
		return w.delete(ctx, done)
	}
	return nil
}

func main() {
	ctx := context.Background()
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	w := &worker{
		queue:   sqs.NewFromConfig(loaded),
		url:     os.Getenv("QUEUE_URL"),
		effects: os.Getenv("EFFECTS"),
		variant: "correct",
		batch:   int32(number("BATCH", 10)),
		waitS:   int32(number("WAIT_S", 5)),
		work:    time.Duration(number("WORK_MS", 0)) * time.Millisecond,
	}
	if chosen, given := os.LookupEnv("VARIANT"); given {
		w.variant = chosen
	}
	switch w.variant {
	case "correct", "delete-first", "no-guard", "ignores-failed":
	default:
		log.Fatalf("VARIANT: no %s", w.variant)
	}
	stopping := make(chan os.Signal, 1)
	signal.Notify(stopping, syscall.SIGTERM)
	log.Print("polling")
	for {
		select {
		case <-stopping:
			return
		default:
		}
		if err := w.poll(ctx); err != nil {
			log.Print(err)
			time.Sleep(time.Second)
		}
	}
}
