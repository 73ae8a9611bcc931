//! What all charts are drawn with.

use plotters::style::RGBColor;
use std::io;

/// Width of a chart, in pixels.
pub(super) const WIDTH: u32 = 860;

/// Colours that most eyes tell apart.
pub(super) fn colour(index: usize) -> RGBColor {
    const COLOURS: [RGBColor; 8] = [
        RGBColor(0, 114, 178),
        RGBColor(213, 94, 0),
        RGBColor(0, 158, 115),
        RGBColor(204, 121, 167),
        RGBColor(230, 159, 0),
        RGBColor(86, 180, 233),
        RGBColor(90, 90, 90),
        RGBColor(140, 86, 75),
    ];
    COLOURS[index % COLOURS.len()]
}

/// The error of a chart.
pub(super) fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("cannot draw a chart: {error}"))
}
