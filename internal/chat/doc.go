// Package chat holds the words of the product: users, rooms, messages, their
// history and presence, and the two ports, Log and Store, that carry them.
//
// A room is an ordered log of events; everything else is a view of it. The Log
// is the truth: a message exists once the Log has acknowledged it, and its
// place there is its order and its id. The Store is the log rewritten for
// reading. This package imports no driver and no transport: adapters implement
// its ports, and the API, the gateway, the archiver and the cleaner use its
// services.
//
// Every service in this package is safe for concurrent use and starts no
// goroutine that outlives a call.
package chat
