//! Who answers a question.

use std::collections::BTreeMap;
use std::io;

/// Names of contestants of several questions.
pub(crate) const BLOCKING: &str = "blocking futex";
pub(crate) const BARE_RING: &str = "bare ring";
pub(crate) const NOTIFY: &str = "tokio Notify";

/// The name of a case with a number of waits.
pub(crate) fn case(kind: &str, count: usize) -> String {
    format!("{kind} of {count:>7}")
}

/// What [`case`] put together.
pub(crate) fn split_case(case: &str) -> Option<(&str, f64)> {
    let (kind, count) = case.rsplit_once(" of ")?;
    Some((kind, count.trim_start().parse().ok()?))
}

/// One way to do what a question asks about. Several may have the same name, and add cases to it.
pub(crate) struct Contestant {
    pub(crate) name: String,
    /// The processor that its thread, and every thread that it starts, is kept on.
    pub(crate) cpu: Option<usize>,
    pub(crate) start: Start,
}

/// Gets ready, on the contestant's own thread. An error means that it can't take part here.
pub(crate) type Start = Box<dyn FnOnce() -> io::Result<Turn> + Send>;

/// Takes one turn, and notes its figures. Between turns it uses no processor.
pub(crate) type Turn = Box<dyn FnMut(&mut Figures) -> io::Result<()>>;

/// The figures of one turn, by case.
#[derive(Debug, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, Vec<f64>>);

impl Contestant {
    pub(crate) fn new<T>(name: impl Into<String>, start: impl FnOnce() -> io::Result<T> + Send + 'static) -> Self
    where
        T: FnMut(&mut Figures) -> io::Result<()> + 'static,
    {
        Self { name: name.into(), cpu: None, start: Box::new(|| Ok(Box::new(start()?))) }
    }

    /// The same, kept on one processor, where `cpu` is one.
    pub(crate) fn on(self, cpu: Option<usize>) -> Self {
        Self { cpu, ..self }
    }
}

impl Figures {
    /// Notes one figure.
    pub(crate) fn add(&mut self, case: &str, figure: f64) {
        self.many(case, [figure]);
    }

    /// Notes figures.
    pub(crate) fn many(&mut self, case: &str, figures: impl IntoIterator<Item = f64>) {
        match self.0.get_mut(case) {
            Some(series) => series.extend(figures),
            None => drop(self.0.insert(case.to_owned(), figures.into_iter().collect())),
        }
    }
}
