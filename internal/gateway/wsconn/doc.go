// Package wsconn is one WebSocket of many: a parked reader, a bounded queue,
// and a writer that exists only while there is something to write.
//
// A Set owns its connections: the goroutine of each, the pings of all, and
// their end. Push and Close may be called from any goroutine and never block,
// so that a room can be fanned out to all of its sockets by one goroutine and
// none of them slows it.
package wsconn
