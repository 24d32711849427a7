// Package local is the embedded adapter of chat.Log: a log in segment files
// under one directory, for a server that runs as a single process.
//
// # Layout
//
//	LOCK                                  flock of the process that has it open
//	meta.json                             format version, partitions per topic
//	CLEAN                                 exists while the log is properly closed
//	<topic>/<partition>/<base>.seg        records from offset <base> on
//	<topic>/<partition>/<base>.torn-<ms>  a torn last write that was set aside
//
// A segment is a header and then batches. A batch is one group commit: the
// appends that collected while the commit before it was in flight. A batch is
// written only after the one before it is durable, which is what lets recovery
// tell a torn last write from damage to acknowledged records.
//
// # Concurrency
//
// All methods of Log are safe for concurrent use. Each partition has one
// goroutine, which alone writes its files; Open starts them and Close ends
// them. A tail has no goroutine.
package local
