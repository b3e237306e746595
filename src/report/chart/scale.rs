//! From values to places, and the round values that are written beside them.

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Linear,
    /// By the logarithm; values are positive.
    Log,
    /// By the logarithm of one more, so that zero has a place.
    Log1p,
}

/// An axis: what it is called, and how it is spread.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    pub name: &'a str,
    pub form: Form,
    /// Whether a linear axis begins at zero even where the values do not.
    pub from_zero: bool,
}

/// The range that an axis shows.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    form: Form,
    low: f64,
    high: f64,
}

impl Scale {
    /// Around all of some values; finite ones, at least one.
    pub fn around(axis: &Axis<'_>, values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|v| v.is_finite());
        let (mut low, mut high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
            (l.min(v), h.max(v))
        });
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if axis.form != Form::Linear {
            let floor = if axis.form == Form::Log { 1e-9 } else { 0.0 };
            let low = low.max(floor);
            let high = if high > low { high } else { low * 2.0 + 1.0 };
            return Self {
                form: axis.form,
                low,
                high,
            };
        }
        if axis.from_zero {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if low == high {
            (low, high) = (
                low - 0.5 * low.abs().max(1e-3),
                high + 0.5 * high.abs().max(1e-3),
            );
        }
        Self::rounded(low, high)
    }

    /// Out to whole steps.
    fn rounded(low: f64, high: f64) -> Self {
        let step = step((high - low) / 5.0);
        Self {
            form: Form::Linear,
            low: (low / step + 1e-9).floor() * step,
            high: (high / step - 1e-9).ceil() * step,
        }
    }

    fn bent(&self, value: f64) -> f64 {
        match self.form {
            Form::Linear => value,
            Form::Log => value.max(self.low).ln(),
            Form::Log1p => value.ln_1p(),
        }
    }

    /// Where a value lies between the places of both ends.
    pub fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        let (low, high) = (self.bent(self.low), self.bent(self.high));
        from + (to - from) * ((self.bent(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// About `count` round values with their texts, ascending.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        if self.form != Form::Linear {
            return self.log_ticks(count);
        }
        let step = step((self.high - self.low) / count as f64);
        let decimals = (-(step * 1.0001).log10().floor()).max(0.0) as usize;
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        let tick = |i: i64| (i as f64 * step, short(i as f64 * step, decimals));
        (first..=last).map(tick).collect()
    }

    /// Powers of ten, thinned out; with twos and fives where they are few.
    fn log_ticks(&self, count: usize) -> Vec<(f64, String)> {
        let least = match self.form {
            Form::Log1p => self.low.max(1.0),
            _ => self.low,
        };
        let fits = |v: &f64| *v >= least * 0.9999 && *v <= self.high * 1.0001;
        let (first, last) = (-9, self.high.log10().ceil() as i32);
        let powers = |factors: &[f64]| -> Vec<f64> {
            let all = (first..=last).flat_map(|p| factors.iter().map(move |f| f * 10f64.powi(p)));
            all.filter(fits).collect()
        };
        let mut values = powers(&[1.0]);
        if values.len() < 3 {
            values = powers(&[1.0, 2.0, 5.0]);
        }
        if self.form == Form::Log1p && self.low == 0.0 {
            values.insert(0, 0.0);
        }
        let every = values.len().div_ceil(count + 1);
        let tick = |v: f64| (v, short(v, if v > 0.0 && v < 1.0 { 3 } else { 0 }));
        values.into_iter().step_by(every.max(1)).map(tick).collect()
    }
}

/// The next round step: 1, 2 or 5 times a power of ten.
fn step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.max(1e-12).log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|f| f * power >= rough * 0.9999);
    factor.unwrap_or(10.0) * power
}

/// A number in a few characters: `0.25`, `1500`, `12k`, `3M`.
pub fn short(value: f64, decimals: usize) -> String {
    let large = [(1e9, "G"), (1e6, "M"), (1e4, "k")];
    for (least, unit) in large {
        if value.abs() >= least {
            let scaled = value / if unit == "k" { 1e3 } else { least };
            let text = format!("{scaled:.1}");
            return text.trim_end_matches(".0").to_string() + unit;
        }
    }
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(form: Form, values: &[f64]) -> Vec<String> {
        let axis = Axis {
            name: "",
            form,
            from_zero: false,
        };
        let scale = Scale::around(&axis, values.iter().copied());
        scale.ticks(5).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            texts(Form::Linear, &[0.0, 1.0]),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            texts(Form::Linear, &[0.212, 0.2514]),
            ["0.21", "0.22", "0.23", "0.24", "0.25", "0.26"]
        );
        assert_eq!(
            texts(Form::Linear, &[1.0, 93.0]),
            ["0", "20", "40", "60", "80", "100"]
        );
        assert_eq!(texts(Form::Log, &[1.0, 1682.0]), ["1", "10", "100", "1000"]);
        assert_eq!(
            texts(Form::Log1p, &[0.0, 30.0]),
            ["0", "1", "2", "5", "10", "20"]
        );
        assert_eq!(texts(Form::Linear, &[3.0]), ["1", "2", "3", "4", "5"]);
        assert_eq!(texts(Form::Linear, &[f64::NAN]).len(), 6);
    }

    #[test]
    fn ends_lie_at_the_ends() {
        let axis = Axis {
            name: "",
            form: Form::Log,
            from_zero: false,
        };
        let scale = Scale::around(&axis, [1.0, 100.0].into_iter());
        assert_eq!(scale.place(1.0, 10.0, 30.0), 10.0);
        assert_eq!(scale.place(10.0, 10.0, 30.0), 20.0);
        assert_eq!(scale.place(100.0, 10.0, 30.0), 30.0);
    }

    #[test]
    fn large_numbers_are_short() {
        assert_eq!(short(1500.0, 0), "1500");
        assert_eq!(short(12_000.0, 0), "12k");
        assert_eq!(short(2_500_000.0, 0), "2.5M");
    }
}
