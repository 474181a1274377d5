// Prints the records of a topic and commits what was printed: follow HOST:PORT TOPIC SUBSCRIPTION
//
// Goes on after the last commit, also when the service has restarted or the connection was lost.
// To build, with protoc on the PATH: go generate && go build
package main

//go:generate sh -c "GOBIN=$PWD/.bin go install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc"
//go:generate protoc --plugin=.bin/protoc-gen-go --plugin=.bin/protoc-gen-go-grpc -I ../../../proto --go_out=. --go_opt=module=example,Mcachesvc/v1/log_cache.proto=example/cachesvc,Mcachesvc/v1/filters.proto=example/cachesvc --go-grpc_out=. --go-grpc_opt=module=example,Mcachesvc/v1/log_cache.proto=example/cachesvc,Mcachesvc/v1/filters.proto=example/cachesvc cachesvc/v1/log_cache.proto cachesvc/v1/filters.proto

import (
	"context"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "example/cachesvc"
)

const (
	retryFirst = 100 * time.Millisecond
	retryMax   = 10 * time.Second
)

// reasonOf says why a call was refused, whatever the text of the error.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return ""
}

func print(batch *pb.Batch) {
	for _, record := range batch.Records {
		value := "(tombstone)"
		if record.Value != nil {
			value = string(record.Value)
		}
		fmt.Printf("%s/%d/%d\t%s\n", batch.Topic, batch.Partition, record.Offset, value)
	}
}

func commit(client pb.LogCacheClient, subscription string, epoch int64, batch *pb.Batch) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := client.Commit(ctx, &pb.CommitRequest{
		Subscription: subscription,
		Epoch:        epoch,
		Positions: []*pb.Position{{
			Topic:       batch.Topic,
			Partition:   batch.Partition,
			Incarnation: batch.Incarnation,
			Offset:      batch.NextPosition,
		}},
	})
	return err
}

// follow reads until the stream ends; it calls heard with every event.
func follow(client pb.LogCacheClient, topic, subscription string, heard func()) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := client.Subscribe(ctx, &pb.SubscribeRequest{
		Subscription: subscription,
		Topics:       []string{topic},
		Mode:         pb.Mode_FULL_AND_INCREMENTAL,
		Encoding:     pb.Encoding_RECORDS,
	})
	if err != nil {
		return err
	}
	var epoch int64
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		heard()
		switch event := response.Event.(type) {
		case *pb.SubscribeResponse_Started:
			epoch = event.Started.Epoch
		case *pb.SubscribeResponse_Batch:
			print(event.Batch)
			if err := commit(client, subscription, epoch, event.Batch); err != nil {
				return err
			}
		}
	}
}

func main() {
	target, topic, subscription := "127.0.0.1:7070", "orders", "example-go"
	for n, given := range os.Args[1:] {
		*[]*string{&target, &topic, &subscription}[n] = given
	}
	connection, err := grpc.NewClient(
		"passthrough:///"+target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// A single record may be larger than 4 MiB.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	)
	if err != nil {
		log.Fatal(err)
	}
	client := pb.NewLogCacheClient(connection)
	for delay := retryFirst; ; delay *= 2 {
		if delay > retryMax {
			delay = retryMax
		}
		err := follow(client, topic, subscription, func() { delay = retryFirst })
		if err == nil {
			return
		}
		log.Printf("%s %s: %s", status.Code(err), reasonOf(err), status.Convert(err).Message())
		if status.Code(err) != codes.Unavailable {
			os.Exit(1) // asking again would not help
		}
		time.Sleep(time.Duration(rand.Int63n(int64(delay))))
	}
}
