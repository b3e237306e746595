//! Metric values by name, in the order in which they were asked for.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// An ordered map from metric name, e.g. `ndcg@10`, to value; in JSON an
/// object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricValues(Vec<(String, f64)>);

impl MetricValues {
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same values sorted by name, as [`crate::event::EpochRecord`] holds
    /// them.
    pub fn to_map(&self) -> BTreeMap<String, f64> {
        self.0.iter().cloned().collect()
    }
}

impl FromIterator<(String, f64)> for MetricValues {
    fn from_iter<I: IntoIterator<Item = (String, f64)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Serialize for MetricValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for MetricValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = MetricValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of metric values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetricValues, A::Error> {
                let mut values = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    values.push(pair);
                }
                Ok(MetricValues(values))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_the_order_and_the_bits() {
        let pairs = [
            ("recall@10", 0.1 + 0.2),
            ("ndcg@100", 1.0 / 3.0),
            ("a", 0.0),
        ];
        let values: MetricValues = pairs.map(|(n, v)| (n.to_string(), v)).into_iter().collect();
        let text = serde_json::to_string(&values).unwrap();
        assert!(text.starts_with("{\"recall@10\":"), "{text}");
        let back: MetricValues = serde_json::from_str(&text).unwrap();
        let bits = |v: &MetricValues| v.iter().map(|(_, x)| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(back, values);
        assert_eq!(bits(&back), bits(&values));
    }
}
