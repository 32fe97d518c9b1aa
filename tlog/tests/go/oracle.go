// The formats as Go's own packages read and write them: golang.org/x/mod/sumdb/note and .../tlog, which
// the Go checksum database uses. Built by ../go.rs with gccgo; nothing of our code is in it.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	commands := map[string]func([]string) error{
		"audit": audit, "open": open, "proof": proof, "write": write,
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// path is where C2SP tlog-tiles puts what Go calls tile/8/...
func path(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), "tile/8/")
	return "tile/" + strings.Replace(path, "data/", "entries/", 1)
}

// checkpoint verifies a note and reads its three lines.
func checkpoint(signed []byte, verifiers ...note.Verifier) (tlog.Tree, *note.Note, error) {
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return tlog.Tree{}, nil, err
	}
	lines := strings.Split(n.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, nil, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, n, err
}

type directory string

func (d directory) Height() int                               { return height }
func (d directory) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (d directory) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		bytes, err := os.ReadFile(filepath.Join(string(d), path(tile)))
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

// audit DIRECTORY VKEY: verifies the whole log, and prints every proof that it can make from the tiles.
func audit(args []string) error {
	verifier, err := note.NewVerifier(args[1])
	if err != nil {
		return err
	}
	signed, err := os.ReadFile(filepath.Join(args[0], "checkpoint"))
	if err != nil {
		return err
	}
	tree, _, err := checkpoint(signed, verifier)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, directory(args[0]))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for n := int64(0); n < tree.N; n++ {
		if n%256 == 0 {
			if err := bundle(args[0], tree, n/256, reader); err != nil {
				return err
			}
		}
		record, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "inclusion", n, join(record))
		if n > 0 {
			grown, err := tlog.ProveTree(tree.N, n, reader)
			if err != nil {
				return err
			}
			fmt.Fprintln(out, "consistency", n, join(grown))
		}
	}
	return nil
}

// bundle verifies the entries of one bundle against the leaves.
func bundle(dir string, tree tlog.Tree, number int64, reader tlog.HashReader) error {
	tile := tlog.Tile{H: height, L: -1, N: number, W: 256}
	if left := tree.N - number*256; left < 256 {
		tile.W = int(left)
	}
	data, err := os.ReadFile(filepath.Join(dir, path(tile)))
	for n := number * 256; err == nil && n < number*256+int64(tile.W); n++ {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return errors.New("short bundle")
		}
		length := 2 + int(binary.BigEndian.Uint16(data))
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return err
		}
		if leaf[0] != tlog.RecordHash(data[2:length]) {
			return fmt.Errorf("entry %d is another", n)
		}
		data = data[length:]
	}
	if err == nil && len(data) > 0 {
		err = errors.New("long bundle")
	}
	return err
}

func join(hashes []tlog.Hash) string {
	var words []string
	for _, hash := range hashes {
		words = append(words, hash.String())
	}
	return strings.Join(words, " ")
}

// open VKEY: reads notes, each after its length on a line, and says of each what Go thinks of it.
func open(args []string) error {
	verifier, err := note.NewVerifier(args[0])
	if err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	for {
		var length int
		if _, err := fmt.Fscanf(in, "%d\n", &length); err != nil {
			return nil
		}
		signed := make([]byte, length)
		if _, err := io.ReadFull(in, signed); err != nil {
			return err
		}
		n, err := note.Open(signed, note.VerifierList(verifier))
		if err != nil {
			fmt.Println("refused")
		} else {
			fmt.Println("opened", len(n.Sigs), len(n.UnverifiedSigs), hex.EncodeToString([]byte(n.Text)))
		}
	}
}

// witness is a verifier of cosignatures by the text of C2SP tlog-cosignature.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w witness) Name() string    { return w.name }
func (w witness) KeyHash() uint32 { return w.hash }
func (w witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	head := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(sig))
	return ed25519.Verify(w.key, append([]byte(head), msg...), sig[8:])
}

func newWitness(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		return nil, errors.New("no key of a witness")
	}
	id := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if hex.EncodeToString(id[:4]) != parts[1] {
		return nil, errors.New("wrong key id")
	}
	return witness{parts[0], binary.BigEndian.Uint32(id[:]), key[1:]}, nil
}

// proof VKEY WITNESS ENTRY: verifies a tlog-proof from standard input offline.
func proof(args []string) error {
	log, err := note.NewVerifier(args[0])
	if err != nil {
		return err
	}
	witness, err := newWitness(args[1])
	if err != nil {
		return err
	}
	whole, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	head, signed, _ := bytes.Cut(whole, []byte("\n\n"))
	tree, n, err := checkpoint(signed, log, witness)
	if err != nil {
		return err
	}
	if len(n.Sigs) != 2 {
		return errors.New("log and witness must both have signed")
	}
	lines := strings.Split(string(head), "\n")
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("no proof")
	}
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		path = append(path, hash)
	}
	return tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash([]byte(args[2])))
}

// write DIRECTORY SKEY ORIGIN COUNT: makes a log with the entries "entry 0", "entry 1" and so on.
func write(args []string) error {
	signer, err := note.NewSigner(args[1])
	if err != nil {
		return err
	}
	count, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return err
	}
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (found []tlog.Hash, err error) {
		for _, index := range indexes {
			found = append(found, hashes[index])
		}
		return found, nil
	})
	var entries []byte
	for n := int64(0); n < count; n++ {
		entry := []byte(fmt.Sprintf("entry %d", n))
		more, err := tlog.StoredHashes(n, entry, reader)
		if err != nil {
			return err
		}
		hashes = append(hashes, more...)
		entries = append(append(entries, byte(len(entry)>>8), byte(len(entry))), entry...)
		if width := n%256 + 1; width == 256 || n+1 == count {
			tile := tlog.Tile{H: height, L: -1, N: n / 256, W: int(width)}
			if err := save(args[0], path(tile), entries); err != nil {
				return err
			}
			entries = nil
		}
	}
	for _, tile := range tlog.NewTiles(height, 0, count) {
		// Go also makes the partial tiles of every smaller tree.
		if partial := count >> (height * tile.L) % 256; tile.W < 256 && int64(tile.W) < partial {
			continue
		}
		data, err := tlog.ReadTileData(tile, reader)
		if err == nil {
			err = save(args[0], path(tile), data)
		}
		if err != nil {
			return err
		}
	}
	root, err := tlog.TreeHash(count, reader)
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", args[2], count, root)}, signer)
	if err != nil {
		return err
	}
	return save(args[0], "checkpoint", signed)
}

func save(dir, path string, data []byte) error {
	file := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
