// Package cassandra keeps a chat.Store in Cassandra: tables by query, no
// secondary index, nothing filtered, every read and write at LOCAL_QUORUM.
//
// # Accounts and rooms
//
// One row is the truth and decides races by a lightweight transaction: the row
// of a username in users_by_name, the partition of a URI in rooms. Every other
// table (users, rooms_by_id, listed_rooms, sessions_by_user) only finds that
// row. An entry there is written before the truth, and whoever follows one
// checks it, so that a process that dies between the two leaves an entry that
// leads nowhere, and neither a name that is blocked nor one that is shared.
//
// # Messages
//
// The rows of a room are spread over buckets, each a partition of its own. A
// bucket is named by the position of its first row and listed in room_buckets
// before that row is written; a message belongs to the bucket with the greatest
// start at or before it, so that a replay finds the old bucket. A bucket ends
// after a 20th of its messages' retention, by the time of the log, on which any
// two writers agree. It also ends after about 50,000 rows. On that, two
// archivers of one partition, one of which does not know yet that it has been
// relieved, may disagree for a moment: such a bucket names the one before it,
// and readers look there too.
//
// A row is written with the record's own time as its timestamp. A replay
// therefore changes nothing, and a delete of everything before a cutoff is one
// tombstone with the cutoff as its timestamp: it cannot take a row that is
// younger, and no replay of an older one gets past it. The watermark and the
// cutoff are their own timestamps in the same way, so that a stale writer
// cannot move them back.
//
// # Concurrency
//
// A Store is safe for concurrent use. It owns the driver's goroutines, which
// end with Close, and starts none that outlives a call.
package cassandra
