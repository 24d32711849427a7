package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/chatcluster/chatcluster/internal/clean"
	"github.com/chatcluster/chatcluster/internal/control"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func cleanCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "clean -d DAYS", Short: "Delete messages that are older than DAYS days",
		Long: "Delete messages that are older than DAYS days, whether or not a server is running on the data directory.\n" +
			"On a terminal a line shows the progress; elsewhere the report is one JSON object.",
		Args: cobra.NoArgs,
	}
	var o clean.Options
	cmd.Flags().IntVarP(&o.Days, "days", "d", 0, "age in days from which on messages are deleted")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "count, and delete nothing")
	var reportPath string
	cmd.Flags().StringVar(&reportPath, "report-file", "", "file that the report is written to as well, as one JSON object")
	// Only a missing flag name is an error here.
	_ = cmd.MarkFlagRequired("days")
	configure := bindConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := configure()
		if err != nil {
			return err
		}
		if err := o.Validate(); err != nil {
			return usageError{err}
		}
		return withReportFile(reportPath, func(write func(clean.Report) error) error {
			return withOperations(cmd.Context(), c, s, func(ctx context.Context, ops control.Operations) error {
				return runClean(ctx, ops, o, s, write)
			})
		})
	}
	return cmd
}

// runClean cleans, and gives the report to write and to whoever looks on.
func runClean(ctx context.Context, ops control.Operations, o clean.Options, s streams, write func(clean.Report) error) error {
	print := printerFor(s.out)
	report, err := ops.Clean(ctx, o, print.progress)
	if err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	return errors.Join(write(report), print.done(report))
}

// reportPrinter shows a clean to whoever looks on.
type reportPrinter interface {
	progress(clean.Report)
	done(clean.Report) error
}

func printerFor(out io.Writer) reportPrinter {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &terminalPrinter{out: out}
	}
	return jsonPrinter{out}
}

// jsonPrinter prints the report as one JSON object.
type jsonPrinter struct{ out io.Writer }

func (jsonPrinter) progress(clean.Report) {}

func (p jsonPrinter) done(r clean.Report) error { return json.NewEncoder(p.out).Encode(r) }

// terminalPrinter keeps one line up to date.
type terminalPrinter struct {
	out  io.Writer
	last time.Time
}

func (p *terminalPrinter) progress(r clean.Report) {
	// A line for each room would cost more than the cleaning.
	if now := time.Now(); now.Sub(p.last) > 100*time.Millisecond {
		p.last = now
		fmt.Fprintf(p.out, "\r%d rooms, %d messages", r.Rooms, r.Deleted)
	}
}

func (p *terminalPrinter) done(r clean.Report) error {
	verb := "Deleted"
	if r.DryRun {
		verb = "Would delete"
	}
	_, err := fmt.Fprintf(p.out, "\r%s %d messages older than %s from %d rooms in %.1f s.\n",
		verb, r.Deleted, r.Cutoff.Local().Format(time.DateTime), r.Rooms, r.TookSeconds)
	return err
}
