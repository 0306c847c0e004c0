//! Line charts as SVG.

use core::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Error;

/// Colours that differ for most eyes, in the order in which they are used.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
    RGBColor(160, 120, 60),
];
const WIDTH: u32 = 860;

/// One direction of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) range: Range<f64>,
    pub(crate) logarithmic: bool,
}

impl Axis {
    pub(crate) fn linear(label: &'static str, range: Range<f64>) -> Axis {
        Axis { label, range, logarithmic: false }
    }

    pub(crate) fn logarithmic(label: &'static str, range: Range<f64>) -> Axis {
        Axis { label, range, logarithmic: true }
    }

    /// Where a value lies on paper.
    fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.range.start, self.range.end);
        if self.logarithmic { value.log10() } else { value }
    }

    fn text(&self, place: f64) -> String {
        let value = if self.logarithmic { 10f64.powf(place) } else { place };
        let decimals = if value.abs() >= 10.0 { 0.0 } else { (1.0 - value.abs().log10()).floor() };
        let decimals = if decimals.is_finite() { decimals.clamp(0.0, 3.0) } else { 0.0 };
        let text = format!("{value:.0$}", decimals as usize);
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').into()
        } else {
            text
        }
    }
}

/// A line of points.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One chart of a picture.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
    /// Whether the points themselves are marked.
    pub(crate) marks: bool,
}

/// Draws charts one below the other, each `height` pixels high.
pub(crate) fn save(path: &Path, charts: &[Chart], height: u32) -> Result<(), Error> {
    let draw = || -> Result<(), Box<dyn core::error::Error>> {
        let size = (WIDTH, height * charts.len() as u32);
        let area = SVGBackend::new(path, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (part, chart) in area.split_evenly((charts.len(), 1)).iter().zip(charts) {
            chart.draw(part)?;
        }
        area.present()?;
        Ok(())
    };
    draw()
        .map_err(|what| Error::Drawing { path: path.display().to_string(), what: what.to_string() })
}

impl Chart {
    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
    ) -> Result<(), Box<dyn core::error::Error>> {
        let Chart { x, y, .. } = self;
        let paper = |axis: &Axis| axis.place(axis.range.start)..axis.place(axis.range.end);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(62)
            .build_cartesian_2d(paper(x), paper(y))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(x.label)
            .y_desc(y.label)
            .x_label_formatter(&|place| x.text(*place))
            .y_label_formatter(&|place| y.text(*place))
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let points = series.points.iter().map(|(px, py)| (x.place(*px), y.place(*py)));
            let line = LineSeries::new(points.clone(), colour.stroke_width(2));
            let line = line.point_size(if self.marks { 3 } else { 0 });
            chart.draw_series(line)?.label(&series.name).legend(move |(px, py)| {
                PathElement::new([(px, py), (px + 18, py)], colour.stroke_width(2))
            });
        }
        if self.series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.8))
                .border_style(RGBColor(200, 200, 200))
                .draw()?;
        }
        Ok(())
    }
}
