//! Loss curves of a training run as SVG files.

use crate::error::{Error, Kind, Result};
use plotters::prelude::*;
use std::path::Path;

/// Draws each `curve-{stage}.tsv` (step, smoothed loss) of the folder `from` as `training-{stage}.svg` in `to`; returns
/// the paths written.
///
/// # Errors
/// [`Kind::Io`] when a curve has fewer than two points or a file cannot be written.
pub fn draw_curves(from: &Path, to: &Path) -> Result<Vec<String>> {
    let mut drawn = Vec::new();
    for stage in ["tower", "text", "stage1", "stage2", "joint"] {
        let source = from.join(format!("curve-{stage}.tsv"));
        let Ok(text) = std::fs::read_to_string(&source) else { continue };
        let points: Vec<(f64, f64)> = text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .filter_map(|(step, loss)| Some((step.parse().ok()?, loss.parse().ok()?)))
            .collect();
        let path = to.join(format!("training-{stage}.svg"));
        plot(&path, stage, &points).map_err(|e| Error::new(Kind::Io, path.display().to_string(), e))?;
        drawn.push(path.display().to_string());
    }
    Ok(drawn)
}

/// Draws one curve with a logarithmic loss axis.
fn plot(path: &Path, name: &str, points: &[(f64, f64)]) -> std::result::Result<(), String> {
    let last = points.last().map_or(1.0, |p| p.0);
    let (mut low, mut high) = (f64::MAX, f64::MIN);
    for (_, loss) in points.iter().filter(|p| p.1 > 0.0) {
        low = low.min(*loss);
        high = high.max(*loss);
    }
    if points.len() < 2 || low >= high {
        return Err(format!("{} points are no curve", points.len()));
    }
    let text = |e: DrawingAreaErrorKind<std::io::Error>| e.to_string();
    let area = SVGBackend::new(path, (640, 320)).into_drawing_area();
    area.fill(&WHITE).map_err(text)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .caption(format!("{name}: loss by step"), ("sans-serif", 16))
        .x_label_area_size(32)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..last, (low * 0.9..high * 1.1).log_scale())
        .map_err(text)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .draw()
        .map_err(text)?;
    chart.draw_series(LineSeries::new(points.iter().copied(), &BLUE)).map_err(text)?;
    area.present().map_err(text)
}
