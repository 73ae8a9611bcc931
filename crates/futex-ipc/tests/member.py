"""A member of a region in Python, which follows docs/ipc-format.md and uses only the standard library.

    member.py list PATH              prints the region as JSON
    member.py count PATH NAME TIMES  adds 1 to the mutex NAME, which has a u64, TIMES times
    member.py hold PATH NAME         locks the mutex NAME, prints a line, and unlocks after a line of input
    member.py churn FILE TIMES       opens or makes the region with the name FILE, and leaves it, TIMES times

PATH leads to the memory object, for example /proc/1234/fd/5. FILE is the path of a name, for example /dev/shm/example. Comments name the
parts of the document. Atomic accesses come from libatomic, a part of the GNU compilers.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import stat
import struct
import sys
import time

RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST = 0, 2, 3, 4, 5
LOW = 0xFFFFFFFF
ALL = 0x7FFFFFFF

# Constants
FORMAT, HEADER_WORDS, SLOT_WORDS, ENTRY_WORDS, LINE, STRIDE = 1, 512, 16, 32, 16, 16
MAX_MEMBERS, MAX_OBJECTS = 4096, 65536
FIRST_SLOT_BYTE = 0x40000000
FREE, LIVE, DEAD = 0, 1, 2
INC, C = 0x40000000, 0x80000000
OWNER = INC - 1

# Header, in words
DIRECTORY_LOCK, USED, CHANGES = 256 // 8, 384 // 8, 512 // 8

LOCK, COUNTER, FLAG, RECORDS = 1, 2, 3, 4
KINDS = {1: "Mutex", 2: "RwLock", 3: "Semaphore", 4: "ManualEvent", 5: "AutoEvent", 6: "OnceCell", 7: "Barrier", 8: "Condvar"}
SYS_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98, "ppc64le": 221, "s390x": 238}

libc = ctypes.CDLL(None, use_errno=True)
try:
    libatomic = ctypes.CDLL("libatomic.so.1")
except OSError as error:
    sys.exit(f"there is no libatomic: {error}")
atomic_load = libatomic["__atomic_load_8"]
atomic_store = libatomic["__atomic_store_8"]
atomic_add = libatomic["__atomic_fetch_add_8"]
atomic_cas = libatomic["__atomic_compare_exchange_8"]
atomic_or = libatomic["__atomic_fetch_or_8"]
atomic_and = libatomic["__atomic_fetch_and_8"]
atomic_load.restype = atomic_add.restype = atomic_or.restype = atomic_and.restype = ctypes.c_uint64
atomic_cas.restype = ctypes.c_bool


def low(word):
    return word & LOW


def high(word):
    return word >> 32


def halves(high, low):
    return high << 32 | low


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class Damaged(Exception):
    pass


def byte_lock(file, command, kind, byte, length):
    """Returns the kind, the first byte and the length of the lock that is reported."""
    question = struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, length, 0)
    kind, _, byte, length, _ = struct.unpack("hhqqi4x", fcntl.fcntl(file, command, question))
    return kind, byte, length


def try_lock(file, byte, length):
    try:
        byte_lock(file, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte, length)
        return True
    except (BlockingIOError, PermissionError):
        return False


def unlock(file, byte, length):
    byte_lock(file, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, byte, length)


class Region:
    """The object, mapped and checked, but not joined."""

    def __init__(self, file):
        """`file` is a descriptor with a description that no other member has: Locks in the kernel, 1."""
        # 2: the mapping is made through it. 3: not for forks.
        self.file = file
        status = os.fstat(self.file)
        self.identity = status.st_dev, status.st_ino
        if status.st_size < 4096 or status.st_size % 8:
            raise Damaged("not a region")
        self.memory = mmap.mmap(self.file, status.st_size)
        self.memory.madvise(mmap.MADV_DONTFORK)
        self.words = (ctypes.c_uint64 * (status.st_size // 8)).from_buffer(self.memory)
        self.address = ctypes.addressof(self.words)
        # The mapping, and with it the lock, goes with the last reference.
        self.memory = None
        # What a reader checks
        if self.bytes(0, 1) != b"futexipc":
            raise Damaged("not a region of this byte order")
        header = [self.load(place, RELAXED) for place in range(4)]
        if header[1] != halves(HEADER_WORDS, FORMAT):
            raise Damaged(f"the region has format {low(header[1])}, and this program knows format {FORMAT}")
        self.slots, self.entries = low(header[3]), high(header[3])
        self.objects = HEADER_WORDS + self.slots * SLOT_WORDS + self.entries * ENTRY_WORDS
        fits = header[2] == len(self.words) and 1 <= self.slots <= MAX_MEMBERS and 1 <= self.entries <= MAX_OBJECTS
        if not fits or self.objects > len(self.words):
            raise Damaged("the header is damaged")

    # Terms: accesses

    def pointer(self, place):
        assert 0 <= place < len(self.words)
        return ctypes.c_void_p(self.address + 8 * place)

    def load(self, place, order):
        return atomic_load(self.pointer(place), order)

    def store(self, place, value, order):
        atomic_store(self.pointer(place), ctypes.c_uint64(value), order)

    def add(self, place, n, order):
        return atomic_add(self.pointer(place), ctypes.c_uint64(n), order)

    def change_died(self, slot, generation, died):
        place, bit = self.pointer(self.slot(slot) + 1), 1 << generation % 64
        if died:
            atomic_or(place, ctypes.c_uint64(bit), RELAXED)
        else:
            atomic_and(place, ctypes.c_uint64(~bit & (1 << 64) - 1), RELAXED)

    def cas(self, place, old, new, order):
        """Returns the value that was there: a success if it is `old`."""
        there = ctypes.c_uint64(old)
        new = ctypes.c_uint64(new)
        atomic_cas(self.pointer(place), ctypes.byref(there), new, order, RELAXED)
        return there.value

    def bytes(self, place, words):
        return b"".join(struct.pack("=Q", self.load(place + i, RELAXED)) for i in range(words))

    def text(self, place, words):
        return self.bytes(place, words).split(b"\0")[0].decode("utf-8", "replace")

    def futex(self, place, operation, value, timeout=None):
        half = ctypes.c_void_p(self.address + 8 * place + (4 if sys.byteorder == "big" else 0))
        number = ctypes.c_long(SYS_FUTEX[platform.machine()])
        result = libc.syscall(number, half, operation, ctypes.c_uint32(value), timeout, None, 0)
        if result < 0 and ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def wake(self, place, n):
        return self.futex(place, 1, n)

    # The layout

    def slot(self, slot):
        return HEADER_WORDS + slot * SLOT_WORDS

    def members(self):
        for slot in range(self.slots):
            place = self.slot(slot)
            word, described = self.load(place, ACQUIRE), self.load(place + 2, ACQUIRE)
            if low(word) == LIVE and described == high(word):
                pid, namespace = low(self.load(place + 3, RELAXED)), high(self.load(place + 4, RELAXED))
                label = self.text(place + 5, 8)
                yield {"slot": slot, "generation": described, "pid": pid, "namespace": namespace, "label": label}

    def list(self):
        """The directory: List."""
        for entry in range(min(self.load(USED, ACQUIRE), self.entries)):
            place = HEADER_WORDS + self.slots * SLOT_WORDS + entry * ENTRY_WORDS
            copy = [self.load(place + i, RELAXED) for i in range(ENTRY_WORDS)]
            base, length = low(copy[1]), high(copy[1])
            fits = base >= self.objects and base % LINE == 0 and 0 < length <= len(self.words) - base
            roles = [(low(word), high(word)) for word in copy[4:7] if word]
            needs = {LOCK: 2, COUNTER: 1, FLAG: 1}
            if not fits or any(role not in needs or index + needs[role] > length for role, index in roles):
                continue
            records = high(copy[7]) if copy[7] else None
            if copy[7] and (low(copy[7]) != RECORDS or records + self.slots * STRIDE > length):
                continue
            text = lambda words: struct.pack("=8Q", *words).split(b"\0")[0].decode("utf-8", "replace")
            yield {
                "kind": KINDS.get(low(copy[0]), low(copy[0])),
                "type_version": high(copy[0]),
                "base": base,
                "length": length,
                "size": low(copy[2]),
                "align": high(copy[2]),
                "parameter": copy[3],
                "roles": roles,
                "records": records,
                "name": text(copy[8:16]),
                "type_name": text(copy[16:24]),
            }

    # Locks in the kernel

    def byte_lock(self, command, kind, byte):
        return byte_lock(self.file, command, kind, byte, 1)[0]

    def is_intact(self):
        status = os.fstat(self.file)
        mine = self.byte_lock(fcntl.F_OFD_GETLK, fcntl.F_RDLCK, FIRST_SLOT_BYTE + self.me)
        return (status.st_dev, status.st_ino) == self.identity and mine == fcntl.F_UNLCK

    def is_alive(self, slot):
        """Unknown means alive."""
        try:
            found = self.byte_lock(fcntl.F_OFD_GETLK, fcntl.F_RDLCK, FIRST_SLOT_BYTE + slot)
            return not self.is_intact() or found != fcntl.F_UNLCK
        except OSError:
            return True

    # Deaths

    def sweep(self, slot, generation):
        roles = [(LOCK, DIRECTORY_LOCK), (COUNTER, CHANGES)]
        roles += [(role, entry["base"] + index) for entry in self.list() for role, index in entry["roles"]]
        for role, place in roles:
            if role == LOCK:
                there = self.load(place, ACQUIRE)
                while low(there) & OWNER == slot + 1 and high(there) == generation:
                    self.store(place + 1, there & ~(INC | C), RELAXED)
                    old, there = there, self.cas(place, there, INC, ACQ_REL)
                    if there == old:
                        break
            elif role == COUNTER:
                self.add(place, 1, RELEASE)
            self.wake(place, ALL)
        self.change_died(slot, generation, True)
        self.cas(self.slot(slot), halves(generation, DEAD), halves(generation, FREE), ACQ_REL)


class Full(Exception):
    pass


class Refused(Exception):
    pass


class Member(Region):
    """Members: Join. `may_join` is step 2."""

    def __init__(self, file, label, may_join=lambda: True):
        super().__init__(file)
        for self.me in range(self.slots):
            if try_lock(file, FIRST_SLOT_BYTE + self.me, 1):
                break
        else:
            raise Full
        if not may_join():
            unlock(file, FIRST_SLOT_BYTE + self.me, 1)
            raise Refused
        place = self.slot(self.me)
        while True:
            word = self.load(place, ACQUIRE)
            generation = high(word)
            if low(word) == FREE:
                self.generation = low(generation + 1)
                if self.cas(place, word, halves(self.generation, LIVE), ACQ_REL) == word:
                    break
            elif low(word) == DEAD:
                self.sweep(self.me, generation)
            else:
                self.cas(place, word, halves(generation, DEAD), ACQ_REL)
        with open("/proc/self/stat") as file:
            start = int(file.read().rsplit(")", 1)[1].split()[19])
        namespace = os.stat("/proc/self/ns/pid").st_ino
        self.change_died(self.me, self.generation, False)
        self.store(place + 3, halves(low(start), os.getpid()), RELAXED)
        self.store(place + 4, halves(namespace, high(start)), RELAXED)
        # The label, and no waits.
        for i, word in enumerate(struct.unpack("=11Q", label.encode()[:64].ljust(88, b"\0"))):
            self.store(place + 5 + i, word, RELAXED)
        self.store(place + 2, self.generation, RELEASE)
        self.announce()

    def announce(self):
        self.add(CHANGES, 1, RELEASE)
        self.wake(CHANGES, ALL)

    def leave(self):
        """Step 1 of the document finds nothing: this program leaves without a lock."""
        live, free = halves(self.generation, LIVE), halves(self.generation, FREE)
        if self.cas(self.slot(self.me), live, free, ACQ_REL) == live:
            self.announce()
            unlock(self.file, FIRST_SLOT_BYTE + self.me, 1)

    def mark(self):
        """Deaths: Mark, for each other slot."""
        for slot in range(self.slots):
            word = self.load(self.slot(slot), ACQUIRE)
            if slot == self.me or low(word) == FREE:
                continue
            generation = high(word)
            if low(word) != DEAD:
                if self.is_alive(slot):
                    continue
                if self.cas(self.slot(slot), word, halves(generation, DEAD), ACQ_REL) != word:
                    continue
            self.sweep(slot, generation)

    # The lock word

    def is_dead(self, word):
        slot, generation = (low(word) & OWNER) - 1, high(word)
        return slot >= self.slots or self.load(self.slot(slot), ACQUIRE) != halves(generation, LIVE)

    def lock(self, place):
        """Returns true if a predecessor died."""
        me = halves(self.generation, self.me + 1)
        slept = 0
        word = self.cas(place, 0, me, ACQUIRE)
        if word == 0:
            return False
        while True:
            is_owned = low(word) & OWNER != 0
            if not is_owned or self.is_dead(word):
                new = me | word & (INC | C) | slept | (INC if is_owned else 0)
                there = self.cas(place, word, new, ACQUIRE)
                if there == word:
                    if is_owned:
                        self.store(place + 1, word & ~(INC | C), RELAXED)
                    return new & INC != 0
                word = there
                continue
            if not word & C:
                there = self.cas(place, word, word | C, RELAXED)
                if there != word:
                    word = there
                    continue
                word |= C
            # A member that sleeps marks slots from time to time. There is no thread here that watches.
            if self.futex(place, 0, low(word), ctypes.byref(Timespec(0, 20_000_000))) == 0:
                slept = C
            else:
                self.mark()
            word = self.load(place, RELAXED)

    def unlock(self, place, died, settled):
        mine = halves(self.generation, self.me + 1)
        word = mine | (INC if died else 0)
        while True:
            there = self.cas(place, word, INC if died and not settled else 0, RELEASE)
            if there == word:
                break
            if there & ~(INC | C) != mine:
                raise Damaged("others have taken this member for dead")
            word = there
        if word & C:
            self.wake(place, 1)

    # Mutex

    def mutex(self, name):
        entry = next((entry for entry in self.list() if entry["name"] == name), None)
        wanted = {"kind": "Mutex", "type_name": "u64", "type_version": 1, "size": 8, "align": 8}
        if entry is None or any(entry[key] != value for key, value in wanted.items()) or entry["length"] < 5:
            raise SystemExit(f"the region has no mutex {name} of this type: {entry}")
        return entry["base"]

    def read(self, base):
        return self.load(base + 3 + (self.load(base + 2, ACQUIRE) & 1), RELAXED)

    def commit(self, base, value):
        other = self.load(base + 2, ACQUIRE) & 1 ^ 1
        self.store(base + 3 + other, value, RELAXED)
        self.store(base + 2, other, RELEASE)


class Name:
    """Names"""

    RANGE = FIRST_SLOT_BYTE, MAX_MEMBERS

    def __init__(self, path):
        self.path = path

    def is_same(self, file):
        try:
            name = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        status = os.fstat(file)
        return (name.st_dev, name.st_ino) == (status.st_dev, status.st_ino)

    def unlink(self, file):
        """With RANGE."""
        if self.is_same(file):
            os.unlink(self.path)

    def open_or_create(self, label):
        while True:
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                file = os.open(self.path, flags)
            except FileNotFoundError:
                member = self.make(label)
                if member:
                    return member
                continue
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise SystemExit("what has the name is not a region of this user")
            if try_lock(file, *self.RANGE):
                if os.pread(file, 8, 0) != b"futexipc":
                    raise SystemExit("what has the name is not a region")
                self.unlink(file)
                unlock(file, *self.RANGE)
            else:
                kind, _, length = byte_lock(file, fcntl.F_OFD_GETLK, fcntl.F_RDLCK, *self.RANGE)
                if kind != fcntl.F_UNLCK and length == 1:
                    try:
                        return Member(file, label, lambda: self.is_same(file))
                    except (Full, Refused):
                        pass
                else:
                    time.sleep(50e-6)
            os.close(file)

    def make(self, label):
        """Step 6, without the hidden names."""
        file = os.open(os.path.dirname(self.path), os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        slots, entries, length = 64, 64, 1 << 17
        os.posix_fallocate(file, 0, length)
        header = [0, halves(HEADER_WORDS, FORMAT), length // 8, halves(entries, slots)]
        os.pwrite(file, struct.pack("=4Q", *header), 0)
        os.pwrite(file, b"futexipc", 0)
        member = Member(file, label)
        here, follow = -100, 0x400  # AT_FDCWD, AT_SYMLINK_FOLLOW
        if libc.linkat(here, f"/proc/self/fd/{file}".encode(), here, self.path.encode(), follow) == 0:
            return member
        if ctypes.get_errno() != errno.EEXIST:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        member.leave()
        os.close(file)
        return None

    def leave(self, member):
        member.leave()
        if try_lock(member.file, *self.RANGE):
            self.unlink(member.file)
            unlock(member.file, *self.RANGE)
        os.close(member.file)


def churn(path, times):
    name = Name(path)
    for _ in range(times):
        member = name.open_or_create("a member in Python")
        for _ in range(3):
            assert name.is_same(member.file), "the name leads to another region, though this one has a member"
        name.leave(member)


def main(command, path, *arguments):
    if command == "churn":
        return churn(path, int(arguments[0]))
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    if command == "list":
        region = Region(file)
        print(json.dumps({"slots": region.slots, "members": list(region.members()), "objects": list(region.list())}))
        return
    member = Member(file, "a member in Python")
    base = member.mutex(arguments[0])
    if command == "count":
        for _ in range(int(arguments[1])):
            died = member.lock(base)
            member.commit(base, member.read(base) + 1)
            member.unlock(base, died, settled=True)
    elif command == "hold":
        died = member.lock(base)
        print("a predecessor died" if died else "locked", flush=True)
        sys.stdin.readline()
        member.unlock(base, died, settled=True)
    member.leave()


main(*sys.argv[1:])
