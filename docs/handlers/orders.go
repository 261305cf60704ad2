// The example of docs/handlers.md in Go: `go build orders.go`, for plain messages and for events of a queue.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

type order struct {
	Detail struct {
		OrderID  string `json:"orderId"`
		Metadata struct {
			Poison bool `json:"poison"`
		} `json:"metadata"`
	} `json:"detail"`
}

type request struct {
	Request int `json:"request"`
	Message *struct {
		Body string `json:"body"`
	} `json:"message"`
	Event *struct {
		Records []struct {
			MessageID string `json:"messageId"`
			Body      string `json:"body"`
		} `json:"Records"`
	} `json:"event"`
}

type failure struct {
	ItemIdentifier string `json:"itemIdentifier"`
}

type result struct {
	BatchItemFailures []failure `json:"batchItemFailures"`
}

type answer struct {
	Request int     `json:"request"`
	Outcome string  `json:"outcome"`
	Result  *result `json:"result,omitempty"`
	Error   string  `json:"error,omitempty"`
}

func placeOrder(body string) error {
	var placed order
	if err := json.Unmarshal([]byte(body), &placed); err != nil {
		return err
	}
	if placed.Detail.Metadata.Poison {
		return errors.New("nobody can do this order")
	}
	name := filepath.Join(os.Getenv("GAMEDAY_EFFECTS"), "orders.txt")
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = fmt.Fprintln(file, placed.Detail.OrderID)
	return err
}

func handle(asked request) answer {
	if asked.Event == nil {
		if err := placeOrder(asked.Message.Body); err != nil {
			return answer{Request: asked.Request, Outcome: "failed", Error: err.Error()}
		}
		return answer{Request: asked.Request, Outcome: "ok"}
	}
	failed := []failure{}
	for _, record := range asked.Event.Records {
		if err := placeOrder(record.Body); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", record.MessageID, err)
			failed = append(failed, failure{ItemIdentifier: record.MessageID})
		}
	}
	return answer{Request: asked.Request, Outcome: "ok", Result: &result{BatchItemFailures: failed}}
}

func main() {
	// A bufio.Scanner would stop at 64 KiB, and a line may hold ten messages of 1 MiB.
	requests := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	answers.Encode(map[string]bool{"ready": true})
	for {
		line, err := requests.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked request
		if err := json.Unmarshal(line, &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		answers.Encode(handle(asked))
	}
}
