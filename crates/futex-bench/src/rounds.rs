//! Rounds: in each one every contestant has a turn, so that whatever disturbs the machine disturbs all alike.

use crate::answer::Answer;
use crate::question::{Effort, Question};
use crate::stage::Stage;
use std::time::Instant;

/// Fewer rounds than this have no median.
const LEAST: usize = 3;

/// Asks one question.
pub(crate) fn ask(question: &'static Question, effort: Effort) -> Answer {
    let mut answer = Answer::new(question.reference);
    let mut stages = Vec::new();
    for contestant in (question.contestants)(effort) {
        let name = contestant.name.clone();
        answer.expect(&name);
        match Stage::start(contestant) {
            Ok(stage) => stages.push(Some((name, stage))),
            Err(error) => answer.absent(&name, error.to_string()),
        }
    }

    let start = Instant::now();
    let mut round = 0;
    while round < LEAST || start.elapsed() < question.time(effort) {
        // Nobody always comes after the same one.
        for offset in 0..stages.len() {
            let index = (round + offset) % stages.len();
            let Some((name, stage)) = &stages[index] else { continue };
            match stage.turn() {
                Ok(figures) => answer.add(name, round, figures),
                Err(error) => {
                    answer.absent(name, error.to_string());
                    stages[index] = None; // it may hang, so it is not waited for
                }
            }
        }
        round += 1;
        if stages.iter().all(Option::is_none) {
            break;
        }
    }
    for (_, stage) in stages.into_iter().flatten() {
        stage.end();
    }
    answer
}
