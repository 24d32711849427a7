package local

import "github.com/cockroachdb/pebble/v2/vfs"

// OpenOn is Open on another file system.
func OpenOn(disk vfs.FS, dir string, opts Options) (*Store, error) { return open(dir, opts, disk) }

// The decoders, for fuzzing.
var (
	DecodeUser         = decodeUser
	DecodeToken        = decodeToken
	DecodeRoom         = decodeRoom
	DecodeMember       = decodeMember
	DecodeMessage      = decodeMessage
	DecodeMessageTimes = decodeMessageTimes
	DecodeWatermark    = decodeWatermark
	DecodePresence     = decodePresence
	DecodeForeign      = decodeForeign
	DecodeInt          = decodeInt
	DecodeTime         = decodeTime
	EncodeUser         = encodeUser
	EncodeRoom         = encodeRoom
	EncodeMessage      = encodeMessage
	EncodePresence     = encodePresence
	EncodeForeign      = encodeForeign
	MessageKey         = messageKey
	CutMessageKey      = cutMessageKey
	PresenceKey        = presenceKey
	CutPresence        = cutPresence
)
