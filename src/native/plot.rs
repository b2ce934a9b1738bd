//! Charts of `bench --growth` as SVG files.

use super::io_error;
use crate::error::{Error, Kind, Result};
use crate::measure::{Fit, Growth};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::{Path, PathBuf};

/// Width and height of one backend's panel, pixels.
const PANEL: (u32, u32) = (480, 320);

/// The content of one panel.
struct Curve {
    caption: String,
    /// Label of the x axis.
    x: &'static str,
    /// Points (x, milliseconds).
    points: Vec<(f64, f64)>,
}

/// Draws `speed-decode.svg` and `speed-prefill.svg` in `folder`, one panel per backend; `title` names the model.
///
/// # Errors
/// [`Kind::Io`] when a file cannot be written.
pub fn draw_growth(title: &str, growths: &[Growth], folder: &Path) -> Result<[PathBuf; 2]> {
    std::fs::create_dir_all(folder).map_err(|e| io_error(folder, &e))?;
    let files = ["decode", "prefill"].map(|what| folder.join(format!("speed-{what}.svg")));
    let curve = |g: &Growth, what: &str, x, points: &[_]| Curve {
        caption: format!("{title}, {}: {what}", g.backend),
        x,
        points: points.to_vec(),
    };
    let decode = |g: &Growth| curve(g, "a token", "tokens cached", &g.decode);
    let prefill = |g: &Growth| curve(g, "a prompt", "rows", &g.prefill);
    draw(&files[0], growths.iter().map(decode).collect())?;
    draw(&files[1], growths.iter().map(prefill).collect())?;
    Ok(files)
}

/// Draws panels side by side.
fn draw(path: &Path, curves: Vec<Curve>) -> Result<()> {
    let area = SVGBackend::new(path, (PANEL.0 * curves.len() as u32, PANEL.1)).into_drawing_area();
    let failed =
        |e: DrawingAreaErrorKind<std::io::Error>| Error::new(Kind::Io, path.display().to_string(), e.to_string());
    area.fill(&WHITE).map_err(failed)?;
    for (area, curve) in area.split_evenly((1, curves.len())).iter().zip(&curves) {
        panel(area, curve).map_err(failed)?;
    }
    area.present().map_err(failed)
}

/// Draws the points and the line fitted to them.
fn panel(
    area: &DrawingArea<SVGBackend, Shift>,
    Curve { caption, x, points }: &Curve,
) -> std::result::Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let fit = Fit::of(points);
    let (right, top) = points.iter().fold((0.0f64, 0.0f64), |max, p| (max.0.max(p.0), max.1.max(p.1)));
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(format!("{caption} (line: R² {:.4})", fit.r2), ("sans-serif", 14))
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..right * 1.02, 0.0..top * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .x_desc(*x)
        .y_desc("milliseconds")
        .draw()?;
    let line = [0.0, right].map(|x| (x, fit.start + fit.slope * x));
    chart.draw_series(LineSeries::new(line, &BLUE))?;
    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, BLACK.filled())))?;
    Ok(())
}
