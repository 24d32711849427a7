// Package feed is the log as a gateway sees it: the partitions that its sockets
// need, each folded, kept for a while, and handed to the subscribers of its
// rooms in one order.
//
// A Feed follows a partition from the first Acquire until some time after its
// last subscriber has gone. One goroutine asks the log for what is new, and a
// few, between which the partitions are shared out, hand it to subscribers:
// within a partition everything happens under one lock. That lock is what
// makes a subscription gap-free: where the feed stands, what a resume finds in
// memory, and being subscribed are one step.
package feed
