package local

import "github.com/chatcluster/chatcluster/internal/chat"

// File is what the tests put in the place of segment files.
type File = file

// OpenFile opens a real one.
var OpenFile = openFile

// WithOpen returns the options with another way to open segment files.
func WithOpen(o Options, open func(path string, flag int) (File, error)) Options {
	o.open = open
	return o
}

// EncodeRecords encodes records as they stand in a batch.
func EncodeRecords(keys []string, values [][]byte) []byte {
	var data []byte
	for i, key := range keys {
		data, _ = appendRecord(data, key, values[i])
	}
	return data
}

// DecodeBatch puts a header before encoded records and decodes both.
func DecodeBatch(payload []byte, count int) ([]chat.Record, error) {
	marker := [markerBytes]byte{1, 2, 3, 4, 5, 6, 7, 8}
	data := append(make([]byte, batchHeaderBytes), payload...)
	sealBatch(data, marker, 7, 1000, count)
	b, err := decodeBatch(data, marker)
	if err != nil {
		return nil, err
	}
	return b.records()
}
