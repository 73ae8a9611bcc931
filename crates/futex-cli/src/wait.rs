//! The command `wait`.

use crate::args::Wait;
use crate::failure::{Failure, say};
use crate::value::Number;
use crate::{output, runtime, word};
use futex_tokio::{AsyncFutex, Word};
use std::sync::atomic::Ordering;
use tokio::time::timeout;

pub(crate) fn run(args: &Wait) -> Result<(), Failure> {
    let (memory, word) = word::open(&args.place)?;
    let value = runtime::run(&args.place.object, &memory, args.place.offset, |line| say(line), async {
        match args.timeout {
            Some(time) => timeout(time, wait(args, word)).await.map_err(|_| Failure::TimedOut)?,
            None => wait(args, word).await,
        }
    })?;
    output::line(value)
}

/// The value of the word after the wait.
async fn wait(args: &Wait, word: Word) -> Result<u32, Failure> {
    let futex = AsyncFutex::new(word)?;
    if let Some(condition) = args.until {
        return Ok(futex.wait_until(|value| condition.holds(value)).await?);
    }
    if let Some(Number(expected)) = args.value {
        futex.wait_async(expected).await?;
    }
    Ok(futex.word().load(Ordering::Acquire))
}
