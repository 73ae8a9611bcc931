//! What the trials say about each backend, and about the one that programs take here.

use super::peer::ROUND_TRIPS;
use super::report::{Finding, Trial};
use super::trial;
use futex_tokio::Backend;

/// Best first.
const BACKENDS: [Backend; 3] = [Backend::Uring, Backend::Waitv, Backend::Thread];

const VARIABLE: &str = "FUTEX_BACKEND";

/// `FUTEX_BACKEND`, of which an empty value counts as none.
pub(super) fn variable() -> Option<String> {
    std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

pub(super) fn try_all() -> Vec<Trial> {
    BACKENDS.map(try_one).into()
}

fn try_one(backend: Backend) -> Trial {
    let trial = Trial { backend: backend.as_str(), ..Trial::default() };
    let result = trial::converse(backend);
    let result = match result {
        // A reactor without a ring tries the other backends, so it may have been one of those.
        Err(trouble) if backend == Backend::Uring && trouble.is_kill() => {
            Err(trial::open_ring().err().unwrap_or(trouble))
        }
        result => result,
    };
    match result {
        Ok(ns) => Trial { works: true, round_trips: Some(ROUND_TRIPS), round_trip_ns: Some(ns), ..trial },
        Err(trouble) => Trial {
            reason: Some(trouble.reason(backend)),
            advice: trouble.advice(backend),
            refused: trouble.call(backend),
            kills: trouble.is_kill(),
            ..trial
        },
    }
}

fn works(trials: &[Trial], backend: &str) -> bool {
    trials.iter().any(|trial| trial.works && trial.backend == backend)
}

/// What to set, so that programs wait.
fn remedy(trials: &[Trial]) -> Option<String> {
    let best = trials.iter().find(|trial| trial.works)?.backend;
    let set = format!("set {VARIABLE}={best} in the environment of the programs");
    Some(match variable() {
        // Without a choice, a program would try what kills it.
        Some(_) if !trials.iter().any(|trial| trial.kills) => format!("unset {VARIABLE}, or {set}"),
        _ => set,
    })
}

/// What `FUTEX_BACKEND` says.
pub(super) fn environment(trials: &[Trial]) -> Finding {
    const TOPIC: &str = "futex_backend";
    let Some(name) = variable() else {
        return Finding::ok(TOPIC, format!("{VARIABLE} is not set: a program takes the best backend that works"));
    };
    let finding = match name.parse::<Backend>() {
        Ok(backend) if works(trials, backend.as_str()) => {
            return Finding::note(
                TOPIC,
                format!("{VARIABLE} is {name}: a program takes this backend and tries no other"),
            );
        }
        Ok(_) => Finding::problem(TOPIC, format!("{VARIABLE} is {name}, which does not work here")),
        Err(error) => Finding::problem(TOPIC, format!("{VARIABLE} has a value that stops every program: {error}")),
    };
    Finding { advice: remedy(trials), ..finding }
}

/// The backend that a program takes here.
pub(super) struct Choice {
    pub(super) works: bool,
    pub(super) chosen: Option<String>,
    pub(super) finding: Finding,
}

pub(super) fn choose(trials: &[Trial]) -> Choice {
    const TOPIC: &str = "choice";
    let fails = |chosen, found: String, advice| {
        let finding = Finding { advice, ..Finding::problem(TOPIC, found) };
        Choice { works: false, chosen, finding }
    };
    match trial::choose() {
        Ok(done) if works(trials, &done.backend) => {
            let backend = done.backend;
            let finding = match (variable(), &*done.passed_over) {
                (Some(_), _) => Finding::ok(TOPIC, format!("a program waits with {backend} here, as {VARIABLE} says")),
                (None, []) => Finding::ok(TOPIC, format!("a program waits with {backend} here")),
                (None, better) => {
                    let better = better.join(" and ");
                    Finding::note(
                        TOPIC,
                        format!("a program waits with {backend} here, because it cannot have {better}"),
                    )
                }
            };
            Choice { works: true, chosen: Some(backend), finding }
        }
        Ok(done) => {
            let found = format!("a program takes {} here, which does not work", done.backend);
            fails(Some(done.backend), found, remedy(trials))
        }
        Err(trouble) if trouble.is_kill() => {
            let killer = trials.iter().find(|trial| trial.kills).and_then(|trial| trial.reason.as_deref());
            let found = format!("a program dies when it chooses a backend: {}", killer.unwrap_or("SIGSYS"));
            let allow = "have the sandbox answer with an error (SystemCallErrorNumber=EPERM of systemd)";
            fails(None, found, remedy(trials).map(|set| format!("{set}, or {allow}")))
        }
        // Whatever it has in common with the last backend: what `futex` answers, descriptors, processes.
        Err(trouble) => {
            let found = format!("a program gets no backend here: {}", trouble.reason(Backend::Thread));
            fails(None, found, trouble.advice(Backend::Thread).map(str::to_owned))
        }
    }
}
