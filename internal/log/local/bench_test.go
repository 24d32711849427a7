package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chatcluster/chatcluster/internal/chat"
	"github.com/chatcluster/chatcluster/internal/log/local"
)

var messages = chat.Partition{Topic: chat.TopicMessages}

const benchKey = "0a1b2c3d4e5f607"

func benchValue() []byte {
	value := make([]byte, 200)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	return value
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			var syncs atomic.Int64
			open := func(path string, flag int) (local.File, error) {
				f, err := local.OpenFile(path, flag)
				return countingFile{f, &syncs}, err
			}
			l := openLog(b, b.TempDir(), local.WithOpen(local.Options{}, open))
			value := benchValue()
			b.ReportAllocs()
			b.ResetTimer()
			syncs.Store(0)
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			for range callers {
				group.Go(func() {
					for left.Add(-1) >= 0 {
						if _, _, err := l.Append(context.Background(), messages, benchKey, value); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/float64(syncs.Load()), "records/sync")
		})
	}
}

type countingFile struct {
	local.File
	syncs *atomic.Int64
}

func (f countingFile) Sync() error {
	f.syncs.Add(1)
	return f.File.Sync()
}

// BenchmarkRawGroupCommit is the floor of BenchmarkAppend: it writes and syncs
// batches of as many records as there are callers, and does nothing else.
func BenchmarkRawGroupCommit(b *testing.B) {
	for _, callers := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			f, err := local.OpenFile(filepath.Join(b.TempDir(), "raw"), os.O_RDWR|os.O_CREATE)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			record := append(benchValue(), benchKey...)
			var data []byte
			for range callers {
				data = append(data, record...)
			}
			position := int64(0)
			b.ResetTimer()
			for written := 0; written < b.N; written += callers {
				n, err := f.WriteAt(data, position)
				if err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				position += int64(n)
			}
		})
	}
}

// BenchmarkRead reads pages of up to 100 records from the cache and from the file.
func BenchmarkRead(b *testing.B) {
	for _, source := range []struct {
		name  string
		cache int
	}{{"cache", 0}, {"file", 1}} {
		b.Run(source.name, func(b *testing.B) {
			l := openLog(b, b.TempDir(), local.Options{CacheBytes: source.cache})
			var group sync.WaitGroup
			for range 100 {
				group.Go(func() {
					for range 100 {
						if _, _, err := l.Append(context.Background(), messages, benchKey, benchValue()); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := l.Read(context.Background(), messages, rand.Int64N(9_900), 21_500); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a log of a million records of 200 bytes.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	options := local.Options{Sync: []chat.Topic{}}
	l := openLog(b, dir, options)
	value := benchValue()
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			for range 10_000 {
				if _, _, err := l.Append(context.Background(), messages, benchKey, value); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	closeLog(b, l)
	for b.Loop() {
		l, err := local.Open(dir, options)
		if err != nil {
			b.Fatal(err)
		}
		closeLog(b, l)
	}
}
