// Counts the records of Arrow IPC streams as the service sends them: count FILE...
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

func count(path string) (records, offsets int64) {
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	reader, err := ipc.NewReader(file)
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Release()
	column := reader.Schema().FieldIndices("offset")[0]
	for reader.Next() {
		batch := reader.RecordBatch()
		records += batch.NumRows()
		for _, offset := range batch.Column(column).(*array.Int64).Int64Values() {
			offsets += offset
		}
	}
	if err := reader.Err(); err != nil {
		log.Fatal(err)
	}
	return
}

func main() {
	var records, offsets int64
	for _, path := range os.Args[1:] {
		some, theirs := count(path)
		records, offsets = records+some, offsets+theirs
	}
	fmt.Println(records, offsets)
}
