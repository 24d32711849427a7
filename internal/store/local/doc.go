// Package local is the Store port on disk, in one directory of one process,
// over the ordered key-value engine Pebble.
//
// # Durability
//
// What accounts, tokens, rooms, members and the cutoff return nil for has been
// synced. Messages, watermarks and presence are not synced one by one: the log
// is the truth and replays. The engine writes one ordered write-ahead log, of
// which a crash leaves a prefix, so that a watermark is never more durable than
// the messages that were put before it. Before the log is trimmed, Flush makes
// both durable: whoever trims reads the watermark, calls Flush, and trims no
// further than the watermark that was read.
//
// # Changes
//
// All changes are made by one goroutine, one after the other, so that to read,
// decide and write needs no lock, and a caller whose context ends stops waiting
// even if the disk does not answer; the change may then still be made. Waiting
// for the disk happens outside that goroutine, so that concurrent callers share
// one sync. Reads run in their caller's goroutine.
//
// # Failure
//
// While less than a reserve is free on the disk, everything that would add to it
// is refused with chat.ErrNoSpace; deleting goes on, and so does everything else
// once there is space again. An error of the write-ahead log, of the list of
// files or of their directory is final: it is logged once, Failed is closed, and
// every call from then on returns chat.ErrUnavailable (or chat.ErrNoSpace) until
// the process is started again, which recovers what was synced.
//
// # Precision
//
// Times are kept in whole milliseconds, and come back in UTC.
package local
