//! Charts of `bench --growth` and of visits to the page, as SVG files.

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

/// Height of a bar with its gap, pixels.
const BAR: u32 = 24;
/// Width of the labels beside the bars, pixels.
const LABELS: u32 = 250;

/// One bar: its label, and the seconds of its parts from left to right.
struct Bar {
    label: String,
    parts: Vec<f64>,
}

/// Draws what `tests/browser/visits.mjs` prints as `visits-MODEL.svg` in `folder`, a file for each model: a bar for every
/// visit, with a part for each column of milliseconds.
///
/// # Errors
/// [`Kind::Io`] when `table` cannot be read, has another form, or a file cannot be written.
pub fn draw_visits(table: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string(table).map_err(|e| io_error(table, &e))?;
    let wrong = |line: &str| Error::new(Kind::Io, table.display().to_string(), format!("`{line}` is no visit"));
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let columns: Vec<&str> = lines.next().unwrap_or_default().split('\t').skip(3).collect();
    let mut models: Vec<(String, Vec<Bar>)> = Vec::new();
    for line in lines {
        let [engine, model, visit, times @ ..] = &line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(wrong(line));
        };
        let parts: Option<Vec<f64>> = times.iter().map(|ms| Some(ms.parse::<f64>().ok()? / 1e3)).collect();
        let parts = parts.filter(|parts| parts.len() == columns.len()).ok_or_else(|| wrong(line))?;
        let bar = Bar { label: format!("{engine}, {visit}"), parts };
        match models.iter_mut().find(|(name, _)| name == model) {
            Some((_, bars)) => bars.push(bar),
            None => models.push((model.to_string(), vec![bar])),
        }
    }
    std::fs::create_dir_all(folder).map_err(|e| io_error(folder, &e))?;
    let mut files = Vec::new();
    for (model, bars) in &models {
        let path = folder.join(format!("visits-{model}.svg"));
        let failed =
            |e: DrawingAreaErrorKind<std::io::Error>| Error::new(Kind::Io, path.display().to_string(), e.to_string());
        draw_bars(&path, &columns, bars).map_err(failed)?;
        files.push(path);
    }
    Ok(files)
}

/// Draws horizontal bars from top to bottom, with a scale of seconds and a legend.
fn draw_bars(
    path: &Path,
    columns: &[&str],
    bars: &[Bar],
) -> std::result::Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let colours = [RGBColor(64, 105, 170), RGBColor(222, 145, 60), RGBColor(90, 160, 100), RGBColor(140, 140, 140)];
    let count = bars.len() as f64;
    let longest = bars.iter().map(|bar| bar.parts.iter().sum()).fold(0.0f64, f64::max);
    let area = SVGBackend::new(path, (900, BAR * bars.len() as u32 + 90)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..longest * 1.2, count..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(0)
        .x_label_formatter(&|x| format!("{x:.1}"))
        .x_desc("seconds")
        .draw()?;
    for (part, (column, colour)) in columns.iter().zip(colours.iter().cycle()).enumerate() {
        let rectangles = bars.iter().enumerate().map(|(row, bar)| {
            let from: f64 = bar.parts[..part].iter().sum();
            Rectangle::new([(from, row as f64 + 0.15), (from + bar.parts[part], row as f64 + 0.85)], colour.filled())
        });
        let legend = |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled());
        chart.draw_series(rectangles)?.label(*column).legend(legend);
    }
    chart.configure_series_labels().position(SeriesLabelPosition::LowerRight).background_style(WHITE).draw()?;
    let style = ("sans-serif", 14).into_font().color(&BLACK);
    for (row, bar) in bars.iter().enumerate() {
        let (_, y) = chart.backend_coord(&(0.0, row as f64 + 0.5));
        area.draw_text(&bar.label, &style, (12, y - 8))?;
    }
    area.present()
}
