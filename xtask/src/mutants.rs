//! `cargo xtask mutants`: each model of futex-core fails when the rule is broken that it is there for.
//!
//! A mutant is a small change that breaks a rule. It is made in a copy of the workspace, where one test must fail.

use crate::{Error, workspace};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const USAGE: &str = "\
cargo xtask mutants [--list] [--only NAME]...
    Breaks futex-core on purpose, one rule at a time and in a copy of the workspace, and checks that the model that
    proves the rule fails. The table of what is broken is in xtask/src/mutants.rs.
        --list       show the mutants and run nothing
        --only NAME  only this one; may be given several times
";

/// A test that does not end by then has not failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// A change that breaks a rule.
struct Mutant {
    name: &'static str,
    /// What it breaks.
    breaks: &'static str,
    /// In `crates/futex-core/src`.
    file: &'static str,
    /// Occurs once in the file.
    from: &'static str,
    to: &'static str,
    /// The test that fails, in `futex_core::tests`.
    test: &'static str,
    under: Under,
}

/// How a test is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    Loom,
    Std,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "drop-keeps-wake",
        breaks: "an owner that leaves after its wake was told does not hand it on",
        file: "shard.rs",
        from: "                        inner.stats.handed_on += 1;\n                        Effect::HandOn(word, mask)\n",
        to: "                        let _ = mask;\n                        Effect::Release(word)\n",
        test: "loom_models::dropping::a_wake_that_meets_a_drop_reaches_the_second_waiter",
        under: Under::Loom,
    },
    Mutant {
        name: "cancel-keeps-wake",
        breaks: "a wake that wins against a cancel is not handed on",
        file: "state.rs",
        from: "(Self::Cancelling, Ending::Woken) => Transition { state: None, action: Action::HandOn(word, mask) },",
        to: "(Self::Cancelling, Ending::Woken) => Transition { state: None, action: Action::Release(word) },",
        test: "loom_models::dropping::a_wake_that_was_decided_before_the_drop_is_handed_on",
        under: Under::Loom,
    },
    Mutant {
        name: "drop-does-not-cancel",
        breaks: "the wait of an owner that left stays in the kernel",
        file: "shard.rs",
        from: "                    backend.cancel(key.id);\n",
        to: "                    let _ = backend;\n",
        test: "loom_models::dropping::a_wake_of_two_waiters_of_which_one_leaves_is_not_lost",
        under: Under::Loom,
    },
    Mutant {
        name: "hand-on-under-any-mask",
        breaks: "a wake that wins against a cancel is handed on to waiters whom it did not mean",
        file: "state.rs",
        from: "(Self::Cancelling, Ending::Woken) => Transition { state: None, action: Action::HandOn(word, mask) },",
        to: "(Self::Cancelling, Ending::Woken) => Transition { state: None, action: Action::HandOn(word, NonZeroU32::MAX) },",
        test: "loom_models::dropping::a_wake_is_handed_on_under_the_mask_of_the_wait_that_consumed_it",
        under: Under::Loom,
    },
    Mutant {
        name: "drop-hands-on-under-any-mask",
        breaks: "a wake that was told is handed on to waiters whom it did not mean",
        file: "shard.rs",
        from: "                        inner.stats.handed_on += 1;\n                        Effect::HandOn(word, mask)\n",
        to: "                        inner.stats.handed_on += 1;\n                        let _ = mask;\n                        \
             Effect::HandOn(word, NonZeroU32::MAX)\n",
        test: "loom_models::dropping::a_wake_is_handed_on_under_the_mask_of_the_wait_that_consumed_it",
        under: Under::Loom,
    },
    Mutant {
        name: "slot-free-at-cancel",
        breaks: "a slot is free before its wait has ended",
        file: "shard.rs",
        from: "                // Most often the verdict is there already.\n                inner.reap(effects, None);\n",
        to: "                inner.slots.remove(key.id as usize);\n",
        test: "loom_models::dropping::a_slot_is_taken_again_only_when_its_wait_has_ended",
        under: Under::Loom,
    },
    Mutant {
        name: "poll-keeps-first-waker",
        breaks: "a poll with another waker does not replace the first one",
        file: "shard.rs",
        from: "let stale = std::mem::replace(current, fresh);",
        to: "let stale = { let _ = current; fresh };",
        test: "loom_models::waking::the_waker_of_the_latest_poll_is_called",
        under: Under::Loom,
    },
    Mutant {
        name: "waker-after-arming",
        breaks: "the waker is in place only after the wait is armed and the lock was released",
        file: "shard.rs",
        from: "        let arming = inner.arm(word, expected, mask, waker, &self.taken, effects);\n        self.unlock(inner);\n",
        to: "        let arming = inner.arm(word, expected, mask, Waker::noop().clone(), &self.taken, effects);\n        \
             self.unlock(inner);\n        \
             if let Ok(Arming::Armed(key)) = &arming {\n            \
             if let Some(Slot { state: State::Armed(late), .. }) = lock(&self.inner).slots.get_mut(key.id as usize) {\n                \
             *late = waker;\n            }\n        }\n",
        test: "loom_models::waking::a_change_and_its_wake_are_seen_by_a_wait_that_begins_meanwhile",
        under: Under::Loom,
    },
    Mutant {
        name: "taken-after-arming",
        breaks: "a slot is counted only after its wait is armed, so a turn passes it by",
        file: "shard.rs",
        from: "        taken.store(self.slots.len(), Ordering::Relaxed);\n",
        to: "        let _ = taken;\n",
        test: "loom_models::shards::a_turn_passes_no_queue_by_whose_first_wait_is_being_armed",
        under: Under::Loom,
    },
    Mutant {
        name: "turn-stops-at-first-shard",
        breaks: "a turn looks at the first queue only",
        file: "engine.rs",
        from: "                    next += 1;\n                }\n                next >= shards.list.len()\n",
        to: "                    next = usize::MAX;\n                }\n                next >= shards.list.len()\n",
        test: "loom_models::shards::a_wake_reaches_a_wait_in_a_queue_that_is_being_opened",
        under: Under::Loom,
    },
    Mutant {
        name: "turn-stops-after-batch",
        breaks: "a turn takes no more completions than a batch holds",
        file: "engine.rs",
        from: "                next >= shards.list.len()\n",
        to: "                true\n",
        test: "loom_models::batches::a_turn_takes_more_completions_than_a_batch_holds",
        under: Under::Loom,
    },
    Mutant {
        name: "arming-drops-effects",
        breaks: "what an arming reaps for others is forgotten",
        file: "effects.rs",
        from: "impl<W: FutexWord> Drop for Effects<W> {\n    fn drop(&mut self) {\n        self.perform();\n",
        to: "impl<W: FutexWord> Drop for Effects<W> {\n    fn drop(&mut self) {\n        self.0.clear();\n",
        test: "loom_models::batches::an_arming_that_finds_more_completions_than_a_batch_holds_leaves_the_rest_to_a_turn",
        under: Under::Loom,
    },
    Mutant {
        name: "unprompted-is-forgotten",
        breaks: "a wait that the kernel ended by itself is not armed again",
        file: "state.rs",
        from: "Transition { state: Some(Self::Armed(waker)), action: Action::Rearm(word, mask) }",
        to: "Transition { state: Some(Self::Armed(waker)), action: Action::Release(word) }",
        test: "loom_models::unprompted::a_wait_that_the_kernel_ended_is_armed_again",
        under: Under::Loom,
    },
    Mutant {
        name: "unprompted-misses-change",
        breaks: "a wait that the kernel ended by itself is armed again for whatever value the word has",
        file: "shard.rs",
        from: "backend.arm(id, word.clone(), expected, mask).err()?;",
        to: "{ let _ = expected; backend.arm(id, word.clone(), word.value(), mask).err()? };",
        test: "loom_models::unprompted::a_wait_that_the_kernel_ended_still_sees_the_change_and_its_wake",
        under: Under::Loom,
    },
    Mutant {
        name: "unprompted-revives-cancelled",
        breaks: "a wait that the kernel ended by itself is armed again for an owner that has left",
        file: "state.rs",
        from: "            (Self::Cancelling, Ending::Mismatch | Ending::Cancelled | Ending::Failed(_)) => {\n                \
               Transition { state: None, action: Action::Release(word) }\n",
        to: "            (Self::Cancelling, Ending::Mismatch | Ending::Cancelled | Ending::Failed(_)) => {\n                \
             Transition { state: Some(Self::Cancelling), action: Action::Rearm(word, mask) }\n",
        test: "loom_models::unprompted::a_wait_that_the_kernel_ended_may_be_dropped",
        under: Under::Loom,
    },
    Mutant {
        name: "close-reaps-nothing",
        breaks: "closing forgets the waits' ends",
        file: "shard.rs",
        from: "backend.close(&mut |completion| effects.extend(inner.complete(completion, true)));",
        to: "effects.extend(None::<Effect<W>>);\n            backend.close(&mut drop);",
        test: "loom_models::closing::a_wake_that_is_counted_while_the_engine_is_closed_is_seen",
        under: Under::Loom,
    },
    Mutant {
        name: "close-wakes-nobody",
        breaks: "closing does not tell the tasks whose waits it ends",
        file: "shard.rs",
        from: "        drop(backend);\n        perform(effects);\n",
        to: "        drop(backend);\n        perform(effects.into_iter().filter(|_| false));\n",
        test: "loom_models::closing::a_wake_that_is_counted_while_the_engine_is_closed_is_seen",
        under: Under::Loom,
    },
    Mutant {
        name: "close-rearms",
        breaks: "a wait that is ended by closing is taken for one that the kernel ended by itself",
        file: "shard.rs",
        from: "effects.extend(inner.complete(completion, true))",
        to: "effects.extend(inner.complete(completion, false))",
        test: "loom_models::closing::a_wait_that_begins_while_the_engine_is_closed_ends",
        under: Under::Loom,
    },
    Mutant {
        name: "close-lets-queues-open",
        breaks: "a queue is opened after closing has looked at all of them",
        file: "engine.rs",
        from: "                if shards.closed {\n                    return Err(closed());\n                }\n",
        to: "",
        test: "loom_models::closing::a_wait_that_opens_a_queue_while_the_engine_is_closed_ends",
        under: Under::Loom,
    },
    Mutant {
        name: "waker-called-under-lock",
        breaks: "a turn wakes tasks while it holds a queue's lock",
        file: "shard.rs",
        from: "        self.unlock(inner);\n        effects.is_full()\n",
        to: "        let full = effects.is_full();\n        effects.perform();\n        self.unlock(inner);\n        full\n",
        test: "loom_models::locks::wakers_are_called_and_dropped_without_a_lock",
        under: Under::Loom,
    },
    Mutant {
        name: "waker-called-under-list-lock",
        breaks: "a turn wakes tasks while it holds the lock of the list of queues",
        file: "engine.rs",
        from: "                next >= shards.list.len()\n            };\n            effects.perform();\n",
        to: "                effects.perform();\n                next >= shards.list.len()\n            };\n",
        test: "loom_models::locks::wakers_are_called_and_dropped_without_a_lock",
        under: Under::Loom,
    },
    Mutant {
        name: "waker-dropped-under-lock",
        breaks: "a poll drops the waker that it replaces while it holds the lock",
        file: "shard.rs",
        from: "                    drop(inner);\n                    drop(stale);\n",
        to: "                    drop(stale);\n                    drop(inner);\n",
        test: "loom_models::locks::wakers_are_called_and_dropped_without_a_lock",
        under: Under::Loom,
    },
    Mutant {
        name: "waker-forgotten-under-lock",
        breaks: "a drop drops its waker while it holds the lock",
        file: "shard.rs",
        from: "                effects.push(Effect::Forget(waker));\n                inner.stats.cancelled += 1;\n",
        to: "                drop(waker);\n                inner.stats.cancelled += 1;\n",
        test: "loom_models::locks::the_waker_of_a_wait_that_is_dropped_is_dropped_without_a_lock",
        under: Under::Loom,
    },
    Mutant {
        name: "wakers-called-under-lock-by-close",
        breaks: "closing wakes tasks while it holds a queue's lock",
        file: "shard.rs",
        from: "        self.unlock(inner);\n        drop(backend);\n        perform(effects);\n",
        to: "        drop(backend);\n        perform(effects);\n        self.unlock(inner);\n",
        test: "loom_models::locks::wakers_are_called_without_a_lock_when_the_engine_is_closed",
        under: Under::Loom,
    },
    Mutant {
        name: "word-dropped-under-lock",
        breaks: "the last handle to a word is dropped while a lock is held",
        file: "shard.rs",
        from: "            Action::Release(word) => Some(Effect::Release(word)),\n",
        to: "            Action::Release(word) => { drop(word); None }\n",
        test: "loom_models::locks::the_last_handle_to_a_word_is_dropped_without_a_lock",
        under: Under::Loom,
    },
    Mutant {
        name: "hand-on-under-lock",
        breaks: "a wake is handed on while a lock is held",
        file: "shard.rs",
        from: "                Some(Effect::HandOn(word, mask))\n",
        to: "                word.hand_on(mask);\n                Some(Effect::Release(word))\n",
        test: "loom_models::dropping::a_wake_that_was_decided_before_the_drop_is_handed_on",
        under: Under::Loom,
    },
    Mutant {
        name: "mask-is-forgotten",
        breaks: "a wait is armed for every wake, whatever its mask",
        file: "shard.rs",
        from: "backend.arm(id, word.clone(), expected, mask) {",
        to: "backend.arm(id, word.clone(), expected, if mask.get() == 0 { mask } else { NonZeroU32::MAX }) {",
        test: "properties::the_engine_does_what_a_list_of_waiters_would_do",
        under: Under::Std,
    },
    Mutant {
        name: "drop-hands-on-any-end",
        breaks: "an owner that leaves hands on a wake that its wait never had",
        file: "shard.rs",
        from: "Verdict::Mismatch | Verdict::Failed(_) | Verdict::Closed => Effect::Release(word),",
        to: "Verdict::Mismatch | Verdict::Failed(_) | Verdict::Closed => Effect::HandOn(word, mask),",
        test: "properties::the_engine_does_what_a_list_of_waiters_would_do",
        under: Under::Std,
    },
    Mutant {
        name: "thread-taken-over-blindly",
        breaks: "on Thread, a wait takes over a thread that was left behind without looking at the word",
        file: "backends/thread.rs",
        from: "if word.value() != expected {",
        to: "if word.value() != expected && false {",
        test: "left_behind::a_wait_that_takes_a_thread_over_sees_that_the_word_has_changed",
        under: Under::Std,
    },
];

pub(crate) fn run(mut args: lexopt::Parser) -> Result<(), Error> {
    use lexopt::prelude::*;
    let (mut list, mut only) = (false, Vec::new());
    while let Some(arg) = args.next()? {
        match arg {
            Long("list") => list = true,
            Long("only") => only.push(args.value()?.string()?),
            Short('h') | Long("help") => return Err(Error::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(name) = only.iter().find(|&name| MUTANTS.iter().all(|mutant| mutant.name != name)) {
        return Err(Error::Usage(format!("there is no mutant {name}: --list shows them")));
    }
    let (chosen, skipped): (Vec<_>, Vec<_>) =
        MUTANTS.iter().partition(|mutant| only.is_empty() || only.iter().any(|name| name == mutant.name));
    let mut out = io::stdout();
    if list {
        for mutant in chosen {
            writeln!(out, "{:<33} {}", mutant.name, mutant.breaks)?;
        }
        return Ok(());
    }

    let copy = Copy::make()?;
    copy.tests_pass(&chosen)?;
    let mut missed = 0;
    for mutant in &chosen {
        match copy.try_out(mutant)? {
            None => writeln!(out, "caught  {:<33} by {}  ({})", mutant.name, mutant.test, mutant.breaks)?,
            Some(reason) => {
                missed += 1;
                writeln!(out, "MISSED  {:<33} by {}  ({}): {reason}", mutant.name, mutant.test, mutant.breaks)?;
            }
        }
    }
    writeln!(out, "{} passed, {missed} failed, {} skipped", chosen.len() - missed, skipped.len())?;
    if missed == 0 { Ok(()) } else { Err(Error::Told) }
}

/// A copy of the workspace, where things may be broken.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make() -> Result<Self, Error> {
        let scratch = workspace::target_dir().join("mutants");
        let copy = Self { tree: scratch.join("tree"), target: scratch.join("target") };
        if copy.tree.exists() {
            fs::remove_dir_all(&copy.tree)?;
        }
        fs::create_dir_all(&copy.tree)?;
        for name in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "README.md", "crates", "docs", "xtask"] {
            let from = workspace::root().join(name);
            if from.exists() {
                copy_all(&from, &copy.tree.join(name))?;
            }
        }
        Ok(copy)
    }

    /// The tests that are to fail pass as long as nothing is broken.
    fn tests_pass(&self, mutants: &[&Mutant]) -> Result<(), Error> {
        for under in [Under::Loom, Under::Std] {
            let tests: Vec<_> =
                mutants.iter().filter(|mutant| mutant.under == under).map(|mutant| test_path(mutant.test)).collect();
            if tests.is_empty() {
                continue;
            }
            let words = ["--", "--exact"].into_iter().chain(tests.iter().map(String::as_str));
            match self.cargo(under, words, PATIENCE)? {
                Ended { success: true, .. } => {}
                Ended { output, .. } => {
                    return Err(Error::Failed(format!("{output}\nthe models fail although nothing is broken")));
                }
            }
        }
        Ok(())
    }

    /// Why a mutant is not caught; `None` where it is.
    fn try_out(&self, mutant: &Mutant) -> Result<Option<String>, Error> {
        let path = self.tree.join("crates/futex-core/src").join(mutant.file);
        let whole = fs::read_to_string(&path)?;
        let found = whole.matches(mutant.from).count();
        if found != 1 {
            return Ok(Some(format!("what it replaces occurs {found} times in {}", mutant.file)));
        }
        fs::write(&path, whole.replacen(mutant.from, mutant.to, 1))?;
        let reason = self.survives(mutant);
        fs::write(&path, whole)?;
        reason
    }

    fn survives(&self, mutant: &Mutant) -> Result<Option<String>, Error> {
        let build = self.cargo(mutant.under, ["--no-run"], PATIENCE)?;
        if !build.success {
            return Ok(Some(format!("it does not compile:\n{}", build.output)));
        }
        let test = test_path(mutant.test);
        let run = self.cargo(mutant.under, ["--", "--exact", &test], PATIENCE)?;
        Ok(if run.timed_out {
            Some("the test does not end".into())
        } else if run.success {
            Some("the test passes".into())
        } else if !run.output.contains("running 1 test") {
            Some(format!("the test did not run:\n{}", run.output))
        } else {
            None
        })
    }

    /// Runs `cargo test` for the library of futex-core in the copy.
    fn cargo<'a>(
        &self,
        under: Under,
        words: impl IntoIterator<Item = &'a str>,
        patience: Duration,
    ) -> Result<Ended, Error> {
        let mut command = workspace::cargo();
        command.current_dir(&self.tree).args(["test", "-p", "futex-core", "--lib"]);
        if under == Under::Loom {
            let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
            command.args(["--profile", "loom"]).env("RUSTFLAGS", format!("{flags} --cfg loom"));
        }
        command.arg("--target-dir").arg(self.target.join(if under == Under::Loom { "loom" } else { "std" }));
        command.args(words).env("RUST_BACKTRACE", "0");
        // Its output goes to a file: a pipe that nobody reads would stop it.
        let log = self.target.join("log");
        fs::create_dir_all(&self.target)?;
        let ended = wait(&mut command, &log, patience)?;
        Ok(ended)
    }
}

/// How a command ended.
struct Ended {
    success: bool,
    timed_out: bool,
    output: String,
}

fn wait(command: &mut Command, log: &Path, patience: Duration) -> io::Result<Ended> {
    let file = fs::File::create(log)?;
    let mut child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
    let start = Instant::now();
    let (success, timed_out) = loop {
        if let Some(status) = child.try_wait()? {
            break (status.success(), false);
        }
        if start.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            break (false, true);
        }
        thread::sleep(Duration::from_millis(20));
    };
    Ok(Ended { success, timed_out, output: String::from_utf8_lossy(&fs::read(log)?).into_owned() })
}

fn test_path(test: &str) -> String {
    format!("tests::{test}")
}

/// Copies a file, or a directory without what was built in it. Links are followed.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != OsStr::new("target") {
            copy_all(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_mutant_has_a_name_of_its_own_and_changes_one_place() {
        let names: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len());
        for mutant in MUTANTS {
            let path = workspace::root().join("crates/futex-core/src").join(mutant.file);
            let found = fs::read_to_string(path).unwrap().matches(mutant.from).count();
            assert_eq!(found, 1, "{}: what it replaces occurs {found} times", mutant.name);
            assert_ne!(mutant.from, mutant.to, "{}", mutant.name);
        }
    }
}
