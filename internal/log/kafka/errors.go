package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/chatcluster/chatcluster/internal/chat"
	kafkago "github.com/segmentio/kafka-go"
)

// brokerError is the error code of an answer, or nil for 0.
func brokerError(code int16, message string) error {
	switch {
	case code == 0:
		return nil
	case message != "":
		return fmt.Errorf("%w (%s)", kafkago.Error(code), message)
	default:
		return kafkago.Error(code)
	}
}

// DeniedError is what a broker refuses whoever this client says that it is:
// wrong credentials, TLS that does not verify, or a missing permission. To try
// again does not help, so it is tried seldom.
type DeniedError struct{ Err error }

func (e *DeniedError) Error() string { return e.Err.Error() }

// Unwrap is the cause and chat.ErrUnavailable, for nothing was done.
func (e *DeniedError) Unwrap() []error { return []error{chat.ErrUnavailable, e.Err} }

func isDenied(err error) bool {
	var denied *DeniedError
	if errors.As(err, &denied) {
		return true
	}
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		header       tls.RecordHeaderError
		alert        tls.AlertError
		code         kafkago.Error
	)
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &header), errors.As(err, &alert):
		return true
	case errors.As(err, &code):
		switch code {
		case kafkago.SASLAuthenticationFailed, kafkago.UnsupportedSASLMechanism, kafkago.IllegalSASLState,
			kafkago.TopicAuthorizationFailed, kafkago.GroupAuthorizationFailed, kafkago.ClusterAuthorizationFailed:
			return true
		}
	}
	return false
}

// handshakeError is a failure before the first request.
func handshakeError(address string, err error) error {
	err = fmt.Errorf("connect to broker %s: %w", address, err)
	if isDenied(err) {
		return &DeniedError{err}
	}
	return err
}

// unavailable makes err a chat.ErrUnavailable unless it is one of the port's
// errors already.
func unavailable(err error) error {
	for _, target := range []error{chat.ErrUnavailable, chat.ErrOffsetOutOfRange, chat.ErrRecordTooLarge, chat.ErrOutcomeUnknown} {
		if errors.Is(err, target) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
}
