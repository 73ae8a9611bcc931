//! Lines over a logarithmic axis.

use super::drawing::{WIDTH, colour, failed};
use crate::question::Unit;
use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color as _, DrawingBackend, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    PathElement, SVGBackend, SeriesLabelPosition, WHITE,
};
use std::io;

const HEIGHT: u32 = 460;

/// A line with a name.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What an axis shows. All are logarithmic but the shares, from 0 to 1.
#[derive(Clone, Copy)]
pub(super) enum Axis {
    Unit(Unit),
    Count,
    Share,
}

impl Axis {
    fn label(self, value: f64) -> String {
        match self {
            Self::Unit(unit) => unit.format(value),
            Self::Count => format!("{value:.0}"),
            Self::Share => format!("{:.0} %", value * 100.0),
        }
    }

    fn range(self, values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
        let (low, high) =
            values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| (low.min(value.max(0.1)), high.max(value)));
        match self {
            Self::Share => 0.0..1.0,
            _ if low < high => low * 0.8..high * 1.25,
            _ => 1.0..10.0,
        }
    }
}

pub(super) fn draw(title: &str, x: Axis, y: Axis, curves: &[Curve]) -> io::Result<String> {
    let mut svg = String::new();
    paint(SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)), title, x, y, curves).map_err(failed)?;
    Ok(svg)
}

fn paint<B: DrawingBackend>(
    backend: B,
    title: &str,
    x: Axis,
    y: Axis,
    curves: &[Curve],
) -> Result<(), plotters::drawing::DrawingAreaErrorKind<B::ErrorType>> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let xs = x.range(points().map(|point| point.0)).log_scale();
    let ys = y.range(points().map(|point| point.1));
    let mut builder = ChartBuilder::on(&area);
    builder.caption(title, ("sans-serif", 18)).margin(12).x_label_area_size(32).y_label_area_size(72);
    // The two kinds of vertical axes are different types.
    macro_rules! fill {
        ($chart:expr) => {{
            let mut chart = $chart;
            let labels = (|value: &f64| x.label(*value), |value: &f64| y.label(*value));
            chart
                .configure_mesh()
                .x_label_formatter(&labels.0)
                .y_label_formatter(&labels.1)
                .light_line_style(WHITE)
                .draw()?;
            for (index, curve) in curves.iter().enumerate() {
                let line = colour(index).stroke_width(2);
                chart
                    .draw_series(LineSeries::new(curve.points.iter().copied(), line))?
                    .label(curve.name.as_str())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], line));
                if matches!(y, Axis::Unit(_)) {
                    let dots = curve.points.iter().map(|&point| Circle::new(point, 3, colour(index).filled()));
                    chart.draw_series(dots)?;
                }
            }
            let place =
                if matches!(y, Axis::Share) { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperLeft };
            chart
                .configure_series_labels()
                .position(place)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.2))
                .draw()?;
        }};
    }
    match y {
        Axis::Share => fill!(builder.build_cartesian_2d(xs, ys)?),
        _ => fill!(builder.build_cartesian_2d(xs, ys.log_scale())?),
    }
    area.present()
}
