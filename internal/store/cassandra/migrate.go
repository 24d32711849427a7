package cassandra

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// SchemaVersion is the version that Migrate brings the schema to: the number of
// the last file in schema. Files are never changed once they were released.
const SchemaVersion = 2

// oldestReader is the lowest SchemaVersion of a release that works beside this
// schema: a change first expands, and contracts a release later.
const oldestReader = 1

//go:embed schema/*.cql
var schemaFiles embed.FS

// SchemaError: the keyspace has a schema that this release cannot work with.
type SchemaError struct {
	Keyspace string
	// Found is the version that the keyspace has, 0 for none; Want is this
	// release's.
	Found, Want int
}

func (e *SchemaError) Error() string {
	switch {
	case e.Found == 0:
		return fmt.Sprintf("keyspace %s has no schema, and this release needs version %d: run migrate", e.Keyspace, e.Want)
	case e.Found < e.Want:
		return fmt.Sprintf("keyspace %s has schema version %d, and this release needs version %d: run migrate", e.Keyspace, e.Found, e.Want)
	default:
		return fmt.Sprintf("keyspace %s has schema version %d, and this release works with version %d only: use a newer release", e.Keyspace, e.Found, e.Want)
	}
}

// readableBy decides whether a release works with a schema: found is the
// schema's version, oldest the lowest release that it was made to work with.
func readableBy(release, found, oldest int) bool {
	return found >= release && oldest <= release
}

func checkSchema(ctx context.Context, session *gocql.Session, keyspace string) error {
	found, oldest, err := schemaOf(ctx, session, keyspace)
	if err != nil {
		return err
	}
	if !readableBy(SchemaVersion, found, oldest) {
		return &SchemaError{Keyspace: keyspace, Found: found, Want: SchemaVersion}
	}
	return nil
}

// schemaOf is the version of the keyspace's schema, or 0.
func schemaOf(ctx context.Context, session *gocql.Session, keyspace string) (version, oldest int, err error) {
	var name string
	err = session.Query(`SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'schema_versions'`,
		keyspace).Idempotent(true).ScanContext(ctx, &name)
	if err == nil {
		err = session.Query(`SELECT version, oldest_reader FROM `+keyspace+`.schema_versions WHERE name = 'schema' LIMIT 1`).
			Idempotent(true).ScanContext(ctx, &version, &oldest)
	}
	if errors.Is(err, gocql.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read schema version: %w", translate(err))
	}
	return version, oldest, nil
}

const (
	// lockTTL is after how long the lock of a migration that died is free.
	lockTTL  = 60 * time.Second
	lockPoll = 250 * time.Millisecond
	// schemaTimeout bounds one change of the schema, on which all nodes agree.
	schemaTimeout = 30 * time.Second
)

// Migrate makes the keyspace where there is none and brings its schema to
// SchemaVersion. Several may run at once: one works, the others wait for it. A
// schema that is newer stays as it is, and is a *SchemaError if this release
// cannot work with it.
func Migrate(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	o.Timeout = max(o.Timeout, schemaTimeout)
	session, err := connect(ctx, o, "")
	if err != nil {
		return err
	}
	defer session.Close()
	m := migration{session: session, keyspace: o.Keyspace, owner: rand.Text()}
	found, _, err := schemaOf(ctx, session, o.Keyspace)
	if err != nil {
		return err
	}
	if found < SchemaVersion {
		if err := m.run(ctx, o.Replication); err != nil {
			return fmt.Errorf("migrate keyspace %s: %w", o.Keyspace, translate(err))
		}
	}
	return checkSchema(ctx, session, o.Keyspace)
}

// migration is one attempt to bring a schema up to date. The lock saves work
// and keeps the log quiet; what keeps the schema whole if it is lost is that
// every step may run twice, also at the same time.
type migration struct {
	session         *gocql.Session
	keyspace, owner string
}

func (m migration) run(ctx context.Context, replication string) error {
	for _, stmt := range []string{
		`CREATE KEYSPACE IF NOT EXISTS ` + m.keyspace + ` WITH replication = ` + replication,
		`CREATE TABLE IF NOT EXISTS ${keyspace}.schema_versions (
			name text, version int, oldest_reader int, applied timestamp, PRIMARY KEY (name, version)
		) WITH ${id:schema_versions} AND CLUSTERING ORDER BY (version DESC)`,
		`CREATE TABLE IF NOT EXISTS ${keyspace}.schema_locks (name text PRIMARY KEY, owner text) WITH ${id:schema_locks}`,
	} {
		if err := m.change(ctx, stmt); err != nil {
			return err
		}
	}
	for {
		version, _, err := schemaOf(ctx, m.session, m.keyspace)
		if err != nil || version >= SchemaVersion {
			return err
		}
		held, err := m.lock(ctx)
		if err != nil {
			return err
		}
		if held {
			return errors.Join(m.apply(ctx, version), m.unlock(ctx))
		}
		if err := wait(ctx, lockPoll); err != nil {
			return err
		}
	}
}

func (m migration) lock(ctx context.Context) (bool, error) {
	row := map[string]any{}
	held, err := m.session.Query(`INSERT INTO `+m.keyspace+`.schema_locks (name, owner) VALUES ('schema', ?) IF NOT EXISTS USING TTL ?`,
		m.owner, int(lockTTL/time.Second)).MapScanCASContext(ctx, row)
	if err != nil && isUnavailable(err) {
		return false, ctx.Err() // rivals; whose it is shows the next attempt
	}
	return held || row["owner"] == m.owner, err
}

func (m migration) unlock(ctx context.Context) error {
	_, err := m.session.Query(`DELETE FROM `+m.keyspace+`.schema_locks WHERE name = 'schema' IF owner = ?`, m.owner).
		MapScanCASContext(ctx, map[string]any{})
	return err
}

// apply runs the files above the version.
func (m migration) apply(ctx context.Context, version int) error {
	names, err := fs.Glob(schemaFiles, "schema/*.cql")
	if err != nil {
		return err
	}
	for i, name := range names {
		number := i + 1
		if number <= version {
			continue
		}
		text, err := schemaFiles.ReadFile(name)
		if err != nil {
			return err
		}
		for _, stmt := range statements(string(text)) {
			if err := m.change(ctx, stmt); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		err = m.session.Query(`INSERT INTO `+m.keyspace+`.schema_versions (name, version, oldest_reader, applied) VALUES ('schema', ?, ?, ?)`,
			number, oldestReader, time.Now().UnixMilli()).Idempotent(true).ExecContext(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// statements splits a file at the semicolons that end a line, without its
// comments.
func statements(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "--") {
			lines = append(lines, line)
		}
	}
	var list []string
	for stmt := range strings.SplitSeq(strings.Join(lines, ""), ";\n") {
		if stmt = strings.TrimSpace(stmt); stmt != "" {
			list = append(list, stmt)
		}
	}
	return list
}

// change runs one statement and waits until all nodes agree on the schema.
func (m migration) change(ctx context.Context, stmt string) error {
	stmt = os.Expand(stmt, func(name string) string {
		if table, ok := strings.CutPrefix(name, "id:"); ok {
			return "id = " + tableID(m.keyspace, table)
		}
		return m.keyspace
	})
	err := m.session.Query(stmt).ExecContext(ctx)
	if err != nil {
		return err
	}
	return m.session.AwaitSchemaAgreement(ctx)
}

// tableID gives a table the same id whoever makes it: two nodes that make one
// at the same time would otherwise each make their own, and lose one.
func tableID(keyspace, table string) string {
	sum := sha256.Sum256([]byte("chatcluster table " + keyspace + "." + table))
	sum[6] = sum[6]&0x0f | 0x80 // a UUID of version 8
	sum[8] = sum[8]&0x3f | 0x80
	digits := hex.EncodeToString(sum[:16])
	return strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-")
}
