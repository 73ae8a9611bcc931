//! Numbers, ranges and conditions of the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A value of a word: decimal or hexadecimal. A negative one stands for the value that it wraps around to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u32);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let value = u32::try_from(unsigned(digits)?).map_err(|_| format!("{text} does not fit into 32 bits"))?;
        Ok(Self(if negative { value.wrapping_neg() } else { value }))
    }
}

/// The place of a word, in bytes from the start of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offset(pub(crate) usize);

impl Offset {
    /// Where the word ends.
    pub(crate) fn end(self) -> usize {
        self.0.saturating_add(4)
    }
}

impl FromStr for Offset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let offset = size(text)?;
        if offset % 4 == 0 { Ok(Self(offset)) } else { Err(format!("{text} is not a multiple of 4")) }
    }
}

/// How many waiters: a number or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u32);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(u32::MAX));
        }
        let count = unsigned(text).map_err(|error| format!("{error}, nor is it “all”"))?;
        Ok(Self(u32::try_from(count).unwrap_or(u32::MAX)))
    }
}

/// The bytes of an object that are meant: from a word's offset, up to and without the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: usize,
    /// `None` is the end of the object.
    pub(crate) end: Option<usize>,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((start, end)) = text.split_once("..") else {
            let Offset(start) = text.parse()?;
            let end = start.checked_add(4).ok_or_else(|| format!("{text} is too large"))?;
            return Ok(Self { start, end: Some(end) });
        };
        let start = if start.is_empty() { 0 } else { start.parse::<Offset>()?.0 };
        let end = if end.is_empty() { None } else { Some(size(end)?) };
        match end {
            Some(end) if end <= start => Err(format!("{text} is empty")),
            _ => Ok(Self { start, end }),
        }
    }
}

/// Bytes, with an optional unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) usize);

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = match text.strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']) {
            Some(digits) => match text.as_bytes()[digits.len()].to_ascii_uppercase() {
                b'K' => (digits, 1 << 10),
                b'M' => (digits, 1 << 20),
                _ => (digits, 1 << 30),
            },
            None => (text, 1),
        };
        size(digits)?.checked_mul(unit).map(Self).ok_or_else(|| format!("{text} is too large"))
    }
}

/// What a word is to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    comparison: Comparison,
    value: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

/// The longer ones first: `<=` begins with `<`.
const COMPARISONS: [(&str, Comparison); 7] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("&", Comparison::AnyBit),
];

impl Condition {
    pub(crate) fn holds(self, word: u32) -> bool {
        match self.comparison {
            Comparison::Equal => word == self.value,
            Comparison::NotEqual => word != self.value,
            Comparison::Less => word < self.value,
            Comparison::LessOrEqual => word <= self.value,
            Comparison::Greater => word > self.value,
            Comparison::GreaterOrEqual => word >= self.value,
            Comparison::AnyBit => word & self.value != 0,
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = COMPARISONS.iter().find_map(|&(sign, comparison)| Some((comparison, text.strip_prefix(sign)?)));
        let (comparison, value) = found.ok_or("a condition is ==N, !=N, <N, <=N, >N, >=N or &N")?;
        let Number(value) = value.trim().parse()?;
        match (comparison, value) {
            (Comparison::Less | Comparison::AnyBit, 0) | (Comparison::Greater, u32::MAX) => {
                Err(format!("no value meets {text}, so the wait would not end"))
            }
            _ => Ok(Self { comparison, value }),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = COMPARISONS.iter().find(|(_, comparison)| *comparison == self.comparison);
        write!(f, "{}{}", sign.map_or("", |(sign, _)| sign), self.value)
    }
}

/// A duration with a unit.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("“{text}” is not a time; a time has a unit, as in 5s, 100ms or “1m 30s”"))
}

pub(crate) fn size(text: &str) -> Result<usize, String> {
    usize::try_from(unsigned(text)?).map_err(|_| format!("{text} is too large"))
}

fn unsigned(text: &str) -> Result<u64, String> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // `from_str_radix` takes a sign, which is not a digit here.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(format!("“{text}” is not a number"));
    }
    u64::from_str_radix(digits, radix).map_err(|_| format!("{text} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal_and_wrap_around_if_negative() {
        assert_eq!("17".parse(), Ok(Number(17)));
        assert_eq!("0xffffffff".parse(), Ok(Number(u32::MAX)));
        assert_eq!("-1".parse(), Ok(Number(u32::MAX)));
        for wrong in ["", "0x", "+1", "--1", "1 ", "4294967296", "0xg", "99999999999999999999"] {
            assert!(wrong.parse::<Number>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_offset_is_a_multiple_of_four() {
        assert_eq!("0x40".parse(), Ok(Offset(64)));
        assert_eq!("6".parse::<Offset>(), Err("6 is not a multiple of 4".into()));
        assert!("-4".parse::<Offset>().is_err());
    }

    #[test]
    fn a_range_is_one_word_or_has_ends_that_may_be_left_out() {
        let range = |start, end| Ok(Range { start, end });
        assert_eq!("8".parse(), range(8, Some(12)));
        assert_eq!("8..0x20".parse(), range(8, Some(32)));
        assert_eq!("..8".parse(), range(0, Some(8)));
        assert_eq!("8..".parse(), range(8, None));
        assert_eq!("..".parse(), range(0, None));
        for wrong in ["8..8", "8..4", "2..8", "a..b", "8...9", "18446744073709551612"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_length_may_have_a_unit() {
        assert_eq!("4096".parse(), Ok(Length(4096)));
        assert_eq!("4K".parse(), Ok(Length(4096)));
        assert_eq!("1g".parse(), Ok(Length(1 << 30)));
        for wrong in ["K", "1T", "17179869184G", "é"] {
            assert!(wrong.parse::<Length>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_condition_holds_for_the_values_that_its_sign_says() {
        let values = |condition: &str| {
            let condition: Condition = condition.parse().unwrap();
            (0..5).filter(|&word| condition.holds(word)).collect::<Vec<_>>()
        };
        assert_eq!(values("==2"), [2]);
        assert_eq!(values("!=2"), [0, 1, 3, 4]);
        assert_eq!(values("<2"), [0, 1]);
        assert_eq!(values("<= 2"), [0, 1, 2]);
        assert_eq!(values(">2"), [3, 4]);
        assert_eq!(values(">=2"), [2, 3, 4]);
        assert_eq!(values("&3"), [1, 2, 3]);
        for never in ["<0", "&0", ">4294967295", "> -1"] {
            let error = never.parse::<Condition>().unwrap_err();
            assert_eq!(error, format!("no value meets {never}, so the wait would not end"));
        }
        assert!("2".parse::<Condition>().is_err());
        assert!("=2".parse::<Condition>().is_err());
        assert_eq!("<=0x10".parse::<Condition>().unwrap().to_string(), "<=16");
    }

    #[test]
    fn a_count_is_a_number_or_all() {
        assert_eq!("3".parse(), Ok(Count(3)));
        assert_eq!("all".parse(), Ok(Count(u32::MAX)));
        assert!("some".parse::<Count>().is_err());
    }
}
