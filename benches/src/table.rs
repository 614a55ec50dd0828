//! Medians over runs, as a Markdown table.

use std::fmt::Write;

/// One figure of one run.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The column's heading, with its unit.
    pub name: &'static str,
    /// The value.
    pub value: f64,
    /// Digits behind the point.
    pub decimals: usize,
    /// Whether the table shows its ratio to the best floor's.
    pub against_floor: bool,
}

impl Figure {
    /// A figure without a ratio.
    pub fn new(name: &'static str, value: f64, decimals: usize) -> Self {
        Figure { name, value, decimals, against_floor: false }
    }

    /// The same, with a ratio.
    pub fn against_floor(self) -> Self {
        Figure { against_floor: true, ..self }
    }
}

/// All runs of one contestant.
#[derive(Clone, Debug)]
pub struct Row {
    /// The contestant's name.
    pub name: String,
    /// Whether it is a floor.
    pub is_floor: bool,
    /// The figures of each run, the same ones in the same order.
    pub runs: Vec<Vec<Figure>>,
}

impl Row {
    fn values(&self, column: usize) -> Vec<f64> {
        self.runs.iter().map(|run| run[column].value).collect()
    }
}

/// The middle value, or the mean of the two in the middle; NaN if there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The rows as a table, whose first column is headed `subject`: each other cell the median over the runs with the least and the greatest value.
///
/// The ratio to the floor is taken run by run, against the floor with the lowest median of that
/// column, and its median is shown: what disturbs the machine disturbs both.
pub fn markdown(subject: &str, rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| !row.runs.is_empty()).collect();
    let Some(first) = rows.first() else { return String::new() };
    let columns = &first.runs[0];
    let mut text = format!("| {subject} |");
    let mut rule = String::from("|---|");
    for figure in columns {
        write!(text, " {} |", figure.name).expect("a String takes all");
        rule.push_str("---|");
    }
    text = format!("{text}\n{rule}\n");
    for row in &rows {
        write!(text, "| {} |", row.name).expect("a String takes all");
        for (column, figure) in columns.iter().enumerate() {
            let floor = figure.against_floor.then(|| best_floor(&rows, column)).flatten();
            write!(text, " {} |", cell(row, column, figure.decimals, floor)).expect("a String takes all");
        }
        text.push('\n');
    }
    text
}

fn cell(row: &Row, column: usize, decimals: usize, floor: Option<&Row>) -> String {
    let values = row.values(column);
    let middle = median(&values);
    if middle.is_nan() {
        return "–".into();
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let text = format!("{middle:.decimals$} ({least:.decimals$}–{greatest:.decimals$})");
    let Some(floor) = floor else { return text };
    let ratios: Vec<f64> =
        values.iter().zip(floor.values(column)).map(|(value, floor)| value / floor).collect();
    format!("{text}, {:.2}", median(&ratios))
}

fn best_floor<'a>(rows: &[&'a Row], column: usize) -> Option<&'a Row> {
    let floors = rows.iter().copied().filter(|row| row.is_floor);
    floors.min_by(|a, b| median(&a.values(column)).total_cmp(&median(&b.values(column))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, is_floor: bool, values: &[f64]) -> Row {
        let figure = |value: &f64| vec![Figure::new("us", *value, 1).against_floor()];
        Row { name: name.into(), is_floor, runs: values.iter().map(figure).collect() }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_are_taken_run_by_run_against_the_best_floor() {
        let rows = [
            row("slow floor", true, &[5.0, 5.0, 5.0]),
            row("floor", true, &[2.0, 4.0, 3.0]),
            row("other", false, &[4.0, 8.0, 30.0]),
        ];
        let table = markdown("server", &rows);
        assert!(table.contains("| other | 8.0 (4.0–30.0), 2.00 |"), "{table}");
        assert!(table.contains("| floor | 3.0 (2.0–4.0), 1.00 |"), "{table}");
    }
}
