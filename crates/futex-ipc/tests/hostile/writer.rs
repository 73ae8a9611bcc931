//! The hostile process: it maps the region, is not a member, and writes.

use crate::children;
use crate::control::{Control, Stop};
use futex_sys::__private::words64;
use futex_sys::SharedMemory;
use futex_sys::futex::{Scope, wake};
use futex_tests::load::Rng;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Which words the writer prefers.
pub(crate) const TARGET: &str = "FUTEX_IPC_HOSTILE_TARGET";

// From the format: 64-bit words.
const HEADER: usize = 512;
const SLOT: usize = 16;
const ENTRY: usize = 32;

/// How the region is divided, as its header said before anything was overwritten.
struct Parts {
    slots: usize,
    slots_end: usize,
    entries_end: usize,
    len: usize,
}

impl Parts {
    fn of(words: &[AtomicU64]) -> Self {
        let counts = words[3].load(Relaxed);
        let (slots, entries) = (counts as u32 as usize, (counts >> 32) as usize);
        let slots_end = HEADER + slots * SLOT;
        Self { slots, slots_end, entries_end: slots_end + entries * ENTRY, len: words.len() }
    }
}

/// The words that a burst of writes goes to.
#[derive(Clone, Copy)]
enum Part {
    /// Which makes each join fail as long as it lasts.
    Layout,
    Header,
    Slots,
    Entries,
    Objects,
}

/// The role of the hostile process.
pub(crate) fn write_without_end() {
    let memory = SharedMemory::from_fd(children::file(0).into()).expect("the region");
    let control = Control::of_parent();
    let words = words64(&memory);
    let parts = Parts::of(words);
    let used = object_words(words, &parts);
    let original: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
    let mut old = original.clone();
    let mut rng = Rng::new(std::process::id().into());
    let directory_first = children::number(TARGET) == 1;
    while !control.is_over(Stop::Writer) {
        let part = match (rng.below(20), directory_first) {
            (0, _) => Part::Layout,
            (1, _) | (2..=6, true) => Part::Header,
            (2..=5, false) | (7..=11, true) => Part::Slots,
            (6, false) | (12..=16, true) => Part::Entries,
            _ => Part::Objects,
        };
        let range = match part {
            Part::Layout => 0..4,
            Part::Header => 4..HEADER,
            Part::Slots => HEADER..parts.slots_end,
            Part::Entries => parts.slots_end..parts.entries_end,
            Part::Objects => used.clone(),
        };
        for _ in 0..1 + rng.below(32) {
            let index = place(&mut rng, part, range.clone());
            let word = &words[index];
            let now = word.load(Relaxed);
            let other = old[rng.below(old.len())];
            let new = value(&mut rng, now, old[index], other, parts.slots);
            old[index] = now;
            write(&mut rng, word, now, new);
            if rng.below(4) == 0 {
                wake_some(&mut rng, &memory, index);
            }
        }
        // The first values return, so that the others pass the first check.
        let restored = match part {
            Part::Layout => range,
            _ if rng.below(3) > 0 => 0..0,
            _ => HEADER..parts.entries_end,
        };
        for index in restored {
            words[index].store(original[index], Relaxed);
        }
        if matches!(part, Part::Header) && rng.below(2) == 0 {
            (4..HEADER).for_each(|index| words[index].store(original[index], Relaxed));
        }
        if rng.below(30) == 0 {
            // The file has an event, as when a member ends.
            drop(children::file(0));
        }
        match rng.below(4) {
            0 => std::thread::yield_now(),
            1 => (0..rng.below(20_000)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

/// The words from the first object to the end of the last one.
fn object_words(words: &[AtomicU64], parts: &Parts) -> Range<usize> {
    let places = (parts.slots_end..parts.entries_end).step_by(ENTRY).map(|entry| words[entry + 1].load(Relaxed));
    let end = places.map(|place| place as u32 as usize + (place >> 32) as usize).max().unwrap_or(0);
    parts.entries_end..end.clamp(parts.entries_end + 1, parts.len)
}

fn place(rng: &mut Rng, part: Part, range: Range<usize>) -> usize {
    // The words of the header that change: the lock and its predecessor, the number of entries, the counter, the number of scans, the
    // slot that the next member tries first.
    const CHANGE: [usize; 6] = [32, 33, 48, 64, 80, 96];
    match part {
        Part::Header if rng.below(8) > 0 => CHANGE[rng.below(CHANGE.len())],
        // Most of the words of a slot are text.
        Part::Slots if rng.below(2) == 0 => range.start + rng.below(range.len() / SLOT) * SLOT + rng.below(5),
        Part::Entries if rng.below(2) == 0 => range.start + rng.below(range.len() / ENTRY) * ENTRY + rng.below(8),
        _ => range.start + rng.below(range.len()),
    }
}

/// A random value, or a plausible one.
fn value(rng: &mut Rng, now: u64, before: u64, other: u64, slots: usize) -> u64 {
    let (low, high) = (rng.below(1 << 31) as u64, rng.below(1 << 31) as u64);
    let flags = [0, 1 << 30, 1 << 31, 3 << 30][rng.below(4)];
    let generation = (rng.below(6) as u64) << 32;
    match rng.below(12) {
        0 => high << 33 ^ low << 2 ^ high,
        1 => u64::from_ne_bytes([[0, 0xff, 0x80, 0x7f][rng.below(4)]; 8]),
        2 => before,
        3 => other,
        // The owner of a lock.
        4 | 5 => generation | rng.below(slots + 2) as u64 | flags,
        6 => now & !0xffff_ffff | rng.below(slots + 2) as u64 | flags,
        // A slot's state, a count, a flag.
        7 => generation | rng.below(4) as u64,
        8 => now & !0xffff_ffff | rng.below(5) as u64,
        9 => now.wrapping_add(1),
        10 => now.wrapping_sub(1),
        _ => now ^ 1 << rng.below(64),
    }
}

fn write(rng: &mut Rng, word: &AtomicU64, now: u64, new: u64) {
    match rng.below(4) {
        0 => drop(word.compare_exchange(now, new, Relaxed, Relaxed)),
        // One byte.
        1 => {
            let shift = rng.below(8) * 8;
            let mask = 0xff << shift;
            word.store(now & !mask | new & mask, Relaxed);
        }
        _ => word.store(new, Relaxed),
    }
}

fn wake_some(rng: &mut Rng, memory: &SharedMemory, index: usize) {
    let half = index * 2 + rng.below(2);
    let n = if rng.below(2) == 0 { 1 } else { u32::MAX };
    wake(&memory.as_words()[half], Scope::Shared, n).expect("a wake");
}
