//! The fields of users, or of items: who it is, and the features of the data.

use crate::data::features::{FeatureTable, FeatureValues};

/// What is said of each user, or of each item, field by field, as rows of
/// embedding tables. There is one more of them than the data name: somebody
/// of whom nothing is known.
pub struct Side {
    /// Whether ids are a field, which then is the first.
    ids: bool,
    /// Whether each has training interactions, and so an id of its own.
    known: Vec<bool>,
    singles: Vec<Single>,
    lists: Vec<List>,
    /// Rows of the table of ids, categories and numbers.
    rows: usize,
    /// Rows of the table of what stands in lists.
    list_rows: usize,
    entities: usize,
}

/// A field with one row for each.
struct Single {
    rows: Vec<u32>,
    /// Multiplies the row; absent where that is 1.
    scales: Option<Vec<f32>>,
}

/// A field with several rows for each, which are averaged.
struct List {
    rows: Vec<Vec<u32>>,
}

/// Some users or items, ready to be looked up.
#[derive(Default)]
pub struct Encoded {
    /// `[count, singles]`, row-major.
    pub rows: Vec<u32>,
    /// Of each of those; absent where all are 1.
    pub scales: Option<Vec<f32>>,
    /// Where each list ends in `list_rows`, from 0 on; `[count, lists]`.
    pub offsets: Vec<usize>,
    pub list_rows: Vec<u32>,
    /// One over the length of each list, 0 for an empty one.
    pub list_scales: Vec<f32>,
}

impl Side {
    /// `counts` are the training interactions of each user or item. Those
    /// without any share one id. Numbers are standardized over the others; a
    /// category or number that is missing has a row of its own, an empty list
    /// is zero. Text is no field.
    pub fn new(ids: bool, features: Option<&FeatureTable>, counts: &[u32]) -> Self {
        let entities = counts.len();
        let known: Vec<bool> = counts.iter().map(|&n| n > 0).collect();
        let mut side = Self {
            rows: if ids { entities + 1 } else { 0 },
            ids,
            known: Vec::new(),
            singles: Vec::new(),
            lists: Vec::new(),
            list_rows: 0,
            entities,
        };
        for column in features.iter().flat_map(|table| &table.columns) {
            match &column.values {
                FeatureValues::Text(_) => {}
                FeatureValues::Categorical { labels, codes } => side.categorical(labels, codes),
                FeatureValues::Numeric(values) => side.numeric(values, &known),
                FeatureValues::List { labels, codes } => side.list(labels, codes),
            }
        }
        side.known = known;
        side
    }

    fn categorical(&mut self, labels: &[String], codes: &[Option<u32>]) {
        let (base, missing) = (self.rows as u32, (self.rows + labels.len()) as u32);
        let row = |code: &Option<u32>| code.map_or(missing, |code| base + code);
        let mut rows: Vec<u32> = codes.iter().map(row).collect();
        rows.push(missing);
        self.singles.push(Single { rows, scales: None });
        self.rows += labels.len() + 1;
    }

    fn numeric(&mut self, values: &[f32], known: &[bool]) {
        let there = values.iter().zip(known);
        let there = there.filter(|(v, known)| **known && !v.is_nan());
        let there: Vec<f64> = there.map(|(v, _)| f64::from(*v)).collect();
        let n = there.len().max(1) as f64;
        let mean = there.iter().sum::<f64>() / n;
        let variance = there.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let base = self.rows as u32;
        let place = |v: &f32| match v.is_nan() {
            true => (base + 1, 1.0),
            false => (base, ((f64::from(*v) - mean) / deviation) as f32),
        };
        let nobody = std::iter::once(&f32::NAN);
        let (rows, scales) = values.iter().chain(nobody).map(place).unzip();
        let scales = Some(scales);
        self.singles.push(Single { rows, scales });
        self.rows += 2;
    }

    fn list(&mut self, labels: &[String], codes: &[Vec<u32>]) {
        let base = self.list_rows as u32;
        let of = |codes: &Vec<u32>| codes.iter().map(|code| base + code).collect();
        let mut rows: Vec<Vec<u32>> = codes.iter().map(of).collect();
        rows.push(Vec::new());
        self.lists.push(List { rows });
        self.list_rows += labels.len();
    }

    /// Fields.
    pub fn fields(&self) -> usize {
        self.singles() + self.lists.len()
    }

    pub fn singles(&self) -> usize {
        usize::from(self.ids) + self.singles.len()
    }

    pub fn lists(&self) -> usize {
        self.lists.len()
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn list_rows(&self) -> usize {
        self.list_rows
    }

    /// Which rows of the two tables, [`Self::rows`] and [`Self::list_rows`],
    /// belong to anybody with training interactions; with `unknown` also that
    /// of an unknown id.
    pub fn learned(&self, unknown: bool) -> [Vec<bool>; 2] {
        let known = (0u32..).zip(&self.known).filter(|(_, known)| **known);
        let known: Vec<u32> = known.map(|(entity, _)| entity).collect();
        let encoded = self.encode(&known, None);
        let mut tables = [vec![false; self.rows], vec![false; self.list_rows]];
        for (table, rows) in tables.iter_mut().zip([encoded.rows, encoded.list_rows]) {
            for row in rows {
                table[row as usize] = true;
            }
        }
        if self.ids && unknown {
            tables[0][self.entities] = true;
        }
        tables
    }

    /// The number of somebody of whom nothing is known.
    pub fn nobody(&self) -> u32 {
        self.entities as u32
    }

    /// Looks up their fields; those that are `anonymous` come without their
    /// id.
    ///
    /// # Panics
    /// A number above [`Self::nobody`].
    pub fn encode(&self, entities: &[u32], anonymous: Option<&[bool]>) -> Encoded {
        let mut encoded = Encoded {
            rows: Vec::with_capacity(entities.len() * self.singles()),
            offsets: vec![0],
            ..Encoded::default()
        };
        let scaled = self.singles.iter().any(|s| s.scales.is_some());
        let mut scales = Vec::new();
        for (place, &entity) in entities.iter().enumerate() {
            let e = entity as usize;
            if self.ids {
                let hidden = anonymous.is_some_and(|a| a[place]);
                let own = e < self.entities && self.known[e] && !hidden;
                encoded.rows.push(if own { entity } else { self.nobody() });
                scales.push(1.0);
            }
            for single in &self.singles {
                encoded.rows.push(single.rows[e]);
                scales.push(single.scales.as_ref().map_or(1.0, |s| s[e]));
            }
            for list in &self.lists {
                let rows = &list.rows[e];
                encoded.list_rows.extend_from_slice(rows);
                encoded.offsets.push(encoded.list_rows.len());
                let scale = 1.0 / rows.len() as f32;
                encoded
                    .list_scales
                    .push(if rows.is_empty() { 0.0 } else { scale });
            }
        }
        encoded.scales = scaled.then_some(scales);
        encoded
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::data::features::FeatureColumn;

    /// Four with a category, a number and a list each.
    pub fn table() -> FeatureTable {
        let labels = |n: usize| (0..n).map(|l| l.to_string()).collect();
        let column = |name: &str, values| FeatureColumn {
            name: name.into(),
            values,
        };
        FeatureTable {
            columns: vec![
                column("text", FeatureValues::Text(vec!["x".into(); 4])),
                column(
                    "category",
                    FeatureValues::Categorical {
                        labels: labels(2),
                        codes: vec![Some(1), None, Some(0), Some(1)],
                    },
                ),
                column(
                    "number",
                    FeatureValues::Numeric(vec![1.0, 3.0, f32::NAN, 100.0]),
                ),
                column(
                    "list",
                    FeatureValues::List {
                        labels: labels(3),
                        codes: vec![vec![0, 2], vec![], vec![1], vec![2]],
                    },
                ),
            ],
            title: None,
        }
    }

    #[test]
    fn fields_are_rows_with_scales() {
        // The last has no training interactions: its number counts nothing.
        let side = Side::new(true, Some(&table()), &[5, 1, 2, 0]);
        assert_eq!((side.fields(), side.singles(), side.lists()), (4, 3, 1));
        // Ids 0 to 4, categories 5, 6 and none 7, number 8 and none 9.
        assert_eq!((side.rows(), side.list_rows()), (10, 3));
        let encoded = side.encode(&[0, 1, 2, 3, 4], None);
        assert_eq!(encoded.rows, [0, 6, 8, 1, 7, 8, 2, 5, 9, 4, 6, 8, 4, 7, 9]);
        let scales = encoded.scales.unwrap();
        assert_eq!(scales[..9], [1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(scales[11], 98.0);
        assert_eq!(encoded.offsets, [0, 2, 2, 3, 4, 4]);
        assert_eq!(encoded.list_rows, [0, 2, 1, 2]);
        assert_eq!(encoded.list_scales, [0.5, 0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn rows_of_nobody_with_interactions_are_not_learned() {
        let side = Side::new(true, Some(&table()), &[5, 1, 0, 0]);
        let learned = |rows: &[bool]| -> Vec<usize> {
            let places = rows.iter().enumerate().filter(|(_, learned)| **learned);
            places.map(|(place, _)| place).collect()
        };
        let [rows, lists] = side.learned(false);
        // Neither the ids 2, 3 and 4, nor category 5 and the number that is
        // missing, which user 2 alone has, nor what its list holds.
        assert_eq!((rows.len(), learned(&rows)), (10, vec![0, 1, 6, 7, 8]));
        assert_eq!((lists.len(), learned(&lists)), (3, vec![0, 2]));
        let [rows, _] = side.learned(true);
        assert_eq!(learned(&rows), [0, 1, 4, 6, 7, 8]);
    }

    #[test]
    fn somebody_anonymous_has_features_but_no_id() {
        let side = Side::new(true, Some(&table()), &[5, 1, 2, 0]);
        let encoded = side.encode(&[0, 0], Some(&[true, false]));
        assert_eq!(encoded.rows, [4, 6, 8, 0, 6, 8]);
        let without = Side::new(false, None, &[1]);
        assert_eq!((without.fields(), without.rows()), (0, 0));
    }
}
