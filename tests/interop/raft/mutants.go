package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// mutant is a fault of our core, or of its driver, that the mixed group must notice.
type mutant struct {
	name   string
	budget uint64 // seeds; 0: too rare for this program, no library is built
}

const driverPrefix = "driver:"

// readMutants reads lines of a name, a budget and a remark.
func readMutants(path string) ([]mutant, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []mutant
	for number, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("%s:%d: a mutant needs a budget", path, number+1)
		}
		budget, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %q is no budget", path, number+1, fields[1])
		}
		list = append(list, mutant{fields[0], budget})
	}
	return list, nil
}

// runMutants runs a group with each mutant, in a process of its own, until it breaks a rule.
func runMutants(s settings) error {
	list, err := readMutants("mutants.txt")
	if err != nil {
		return err
	}
	unnoticed := 0
	for _, m := range list {
		if m.budget == 0 || !strings.Contains(m.name, s.only) {
			continue
		}
		begun := time.Now()
		finding, err := m.run(s)
		if err != nil {
			return fmt.Errorf("mutant %s: %w", m.name, err)
		}
		if finding == "" {
			unnoticed++
			finding = fmt.Sprintf("UNNOTICED in %d seeds", m.budget)
		}
		fmt.Printf("%-30s %5.1f s  %s\n", m.name, time.Since(begun).Seconds(), finding)
	}
	if unnoticed > 0 {
		return fmt.Errorf("%d mutants went unnoticed", unnoticed)
	}
	return nil
}

var findingLine = regexp.MustCompile(`(?m)^seed .*`)

// run returns what the group noticed first, "" if nothing.
func (m mutant) run(s settings) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	arguments := []string{"-stop", "-seeds", fmt.Sprint(m.budget), "-first", fmt.Sprint(s.first)}
	if fault, ok := strings.CutPrefix(m.name, driverPrefix); ok {
		arguments = append(arguments, "-lib", s.library, "-break", fault)
	} else {
		library := filepath.Join(s.mutants, m.name+".so")
		if _, err := os.Stat(library); err != nil {
			return "", fmt.Errorf("%w (build the target raft_interop_mutants)", err)
		}
		arguments = append(arguments, "-lib", library)
	}
	var out bytes.Buffer
	child := exec.Command(program, arguments...)
	child.Stdout, child.Stderr = &out, &out
	err = child.Run()
	if err == nil {
		return "", nil
	}
	if found := findingLine.FindString(out.String()); found != "" {
		return found, nil
	}
	// A core that writes where it should not ends the process.
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() != 1 {
		return fmt.Sprintf("the process died: %v", err), nil
	}
	return "", fmt.Errorf("%w: %s", err, out.String())
}
