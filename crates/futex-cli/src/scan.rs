//! The words of an object that are not 0 or have waiters, found in bounded time and memory.
//!
//! Reading is fast (GiB per second), and counting is slow (a system call per word). So values are read first. Then waiters are
//! counted on the words that are known to have some, on those that are not 0, and at last on all other words that have memory.

use futex_sys::MemoryView;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

/// What is scanned, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Bytes of the object, within its length.
    pub(crate) range: Range<usize>,
    /// How many words are kept.
    pub(crate) words: usize,
    /// How long values are read.
    pub(crate) read: Duration,
    /// How long waiters are counted.
    pub(crate) count: Duration,
}

/// A word that is not 0 or has waiters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) value: u32,
    pub(crate) waiters: Waiters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Waiters {
    #[default]
    NotCounted,
    Count(u32),
    /// Threads wait as for a lock with priority inheritance. The kernel does not count those without waking.
    OfLock,
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    /// By offset.
    pub(crate) words: BTreeMap<usize, Word>,
    /// Number of words with waiters, also of those that are not kept.
    pub(crate) waiting: u64,
    /// True if there may be words besides those that are kept.
    pub(crate) is_cut: bool,
    /// The part that was not read because the time was up.
    pub(crate) unread: Option<Range<usize>>,
    /// The part in which some words were not counted.
    pub(crate) uncounted: Option<Range<usize>>,
    /// Why counting ended before the time was up.
    pub(crate) error: Option<String>,
}

/// How many bytes are searched for pages between two looks at the clock, or one page if that is larger. For most objects a
/// search takes no time. Of an object of huge pages, all bytes are read.
const WINDOW: usize = 64 << 20;

/// `known` are offsets of words that have waiters.
pub(crate) fn scan(view: &MemoryView, limits: &Limits, known: impl IntoIterator<Item = usize>) -> Found {
    let mut scan = Scan { view, limits, found: Found::default() };
    if let Err(error) = scan.read() {
        scan.found.error = Some(error.to_string());
    }
    let known = known.into_iter().filter(|&offset| scan.is_inside(offset)).collect::<Vec<_>>();
    if let Err(error) = scan.count(known) {
        scan.found.error = Some(error.to_string());
    }
    scan.found
}

struct Scan<'a> {
    view: &'a MemoryView,
    limits: &'a Limits,
    found: Found,
}

impl Scan<'_> {
    fn is_inside(&self, offset: usize) -> bool {
        offset % 4 == 0 && offset >= self.limits.range.start && self.limits.range.end.saturating_sub(4) >= offset
    }

    fn read(&mut self) -> io::Result<()> {
        let end = self.limits.range.end;
        let until = Deadline::after(self.limits.read);
        let mut chunk = vec![0; 64 * 1024];
        let mut from = self.limits.range.start;
        while let Some(data) = self.view.next_data(from)?.filter(|data| data.start < end) {
            let data = data.start - data.start % 4..data.end.min(end);
            from = data.start;
            while from < data.end {
                if until.has_passed() {
                    self.found.unread = Some(from..end);
                    return Ok(());
                }
                let wanted = chunk.len().min(data.end - from);
                let read = self.view.read(from, &mut chunk[..wanted])?;
                if !self.keep(from, &chunk[..read]) {
                    return Ok(());
                }
                // The last bytes of an object may be fewer than a word. Fewer are read also if it was shortened.
                if read < wanted || read < 4 {
                    break;
                }
                from += read - read % 4;
            }
            from = data.end;
        }
        Ok(())
    }

    /// Keeps the words that are not 0. False if there is no room for one.
    fn keep(&mut self, from: usize, bytes: &[u8]) -> bool {
        if bytes.iter().all(|&byte| byte == 0) {
            return true;
        }
        for (offset, bytes) in (from..).step_by(4).zip(bytes.chunks_exact(4)) {
            let value = bytes.try_into().map_or(0, u32::from_ne_bytes);
            if value != 0 {
                if self.found.words.len() >= self.limits.words {
                    self.found.is_cut = true;
                    return false;
                }
                self.found.words.insert(offset, Word { value, waiters: Waiters::NotCounted });
            }
        }
        true
    }

    fn count(&mut self, known: Vec<usize>) -> io::Result<()> {
        let Range { start, end } = self.limits.range;
        let until = Deadline::after(self.limits.count);
        let not_zero: Vec<_> = self.found.words.keys().copied().collect();
        // Until all are done, so that an error leaves it.
        self.found.uncounted = Some(start..end);
        // The clock is cheap compared to a count, which may read a huge page.
        for offset in known.into_iter().chain(not_zero) {
            if until.has_passed() {
                return Ok(());
            }
            self.count_word(offset, true)?;
        }
        let window = WINDOW.max(self.page_size()?);
        let mut from = start;
        while from < end {
            self.found.uncounted = Some(from..end);
            if until.has_passed() {
                return Ok(());
            }
            let within = from..(from - from % window).saturating_add(window).min(end);
            let Some(pages) = self.view.next_pages(within.clone())? else {
                from = within.end;
                continue;
            };
            for offset in (pages.start - pages.start % 4..pages.end).step_by(4).take_while(|offset| end - offset >= 4) {
                self.found.uncounted = Some(offset..end);
                if until.has_passed() {
                    return Ok(());
                }
                self.count_word(offset, false)?;
            }
            from = pages.end;
        }
        self.found.uncounted = None;
        Ok(())
    }

    /// The size of the huge pages, or one that is less than a window.
    fn page_size(&self) -> io::Result<usize> {
        Ok(usize::try_from(rustix::fs::fstat(self.view)?.st_blksize).unwrap_or(WINDOW))
    }

    /// `is_known` keeps a word although there is no room, or it has no waiters.
    fn count_word(&mut self, offset: usize, is_known: bool) -> io::Result<()> {
        let has_room = self.found.words.len() < self.limits.words;
        let kept = self.found.words.get(&offset);
        if kept.is_some_and(|word| word.waiters != Waiters::NotCounted) {
            return Ok(());
        }
        let waiters = waiters(self.view, offset)?;
        let has_waiters = waiters != Waiters::Count(0);
        self.found.waiting += u64::from(has_waiters);
        if kept.is_some() || is_known || has_waiters && has_room {
            let mut value = [0; 4];
            self.view.read(offset, &mut value)?;
            self.found.words.insert(offset, Word { value: u32::from_ne_bytes(value), waiters });
        } else {
            self.found.is_cut |= has_waiters;
        }
        Ok(())
    }
}

/// Counts the waiters of a word.
pub(crate) fn waiters(view: &MemoryView, offset: usize) -> io::Result<Waiters> {
    match view.waiters(offset) {
        Ok(count) => Ok(Waiters::Count(count)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Waiters::OfLock),
        Err(error) => Err(error),
    }
}

/// A point in time that may be too far away to be one.
struct Deadline(Option<Instant>);

impl Deadline {
    fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    fn has_passed(&self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futex_sys::SharedMemory;
    use std::os::fd::AsFd as _;
    use std::sync::atomic::Ordering;

    const LONG: Duration = Duration::MAX;

    fn memory(values: &[(usize, u32)]) -> (SharedMemory, MemoryView) {
        let memory = SharedMemory::anonymous(8192).unwrap();
        for &(offset, value) in values {
            memory.word(offset).unwrap().store(value, Ordering::Relaxed);
        }
        let view = MemoryView::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
        (memory, view)
    }

    fn limits(range: Range<usize>, words: usize) -> Limits {
        Limits { range, words, read: LONG, count: LONG }
    }

    fn word(value: u32, waiters: u32) -> Word {
        Word { value, waiters: Waiters::Count(waiters) }
    }

    #[test]
    fn words_that_are_not_zero_or_have_waiters_are_found() {
        let (memory, view) = memory(&[(8, 1), (4096, 2), (8188, 3)]);
        let sleeping = memory.word(64).unwrap();
        let waiter = std::thread::spawn({
            let sleeping = sleeping.clone();
            move || sleeping.wait(0, None).unwrap()
        });
        futex_tests::until_waiters(&sleeping, 1);
        let found = scan(&view, &limits(0..8192, 9), []);
        let all = [(8, word(1, 0)), (64, word(0, 1)), (4096, word(2, 0)), (8188, word(3, 0))];
        assert_eq!((found.words, found.waiting), (BTreeMap::from(all), 1));
        assert_eq!((found.is_cut, found.unread, found.uncounted, found.error), (false, None, None, None));

        let found = scan(&view, &limits(60..4100, 9), []);
        assert_eq!(found.words, BTreeMap::from([(64, word(0, 1)), (4096, word(2, 0))]));

        let found = scan(&view, &limits(0..8192, 1), []);
        assert_eq!((found.words, found.waiting, found.is_cut), (BTreeMap::from([(8, word(1, 0))]), 1, true));

        // No time to count, and the word is known.
        let none = Limits { count: Duration::ZERO, ..limits(0..8192, 9) };
        let found = scan(&view, &none, [64]);
        assert_eq!((found.words.len(), found.uncounted), (3, Some(0..8192)));
        assert_eq!(found.words[&8].waiters, Waiters::NotCounted);

        let found = scan(&view, &limits(0..8192, 0), [64, 63, 8192, usize::MAX]);
        assert_eq!((found.words, found.waiting), (BTreeMap::from([(64, word(0, 1))]), 1));
        assert!(sleeping.wake_one());
        waiter.join().unwrap();
    }

    #[test]
    fn a_range_that_ends_in_the_middle_of_a_word_leaves_the_word_out() {
        let (_memory, view) = memory(&[(0, 1), (4, 2)]);
        let found = scan(&view, &limits(0..6, 9), [4]);
        assert_eq!(found.words.keys().collect::<Vec<_>>(), [&0]);
    }

    #[test]
    fn the_time_to_read_is_bounded() {
        let (_memory, view) = memory(&[(0, 1)]);
        let found = scan(&view, &Limits { read: Duration::ZERO, ..limits(0..8192, 9) }, []);
        assert_eq!(found.unread, Some(0..8192));
    }
}
