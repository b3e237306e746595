//! What models of scored pairs are trained for.

use crate::kernels::mf::Goal;
use crate::losses::{self, Loss};
use crate::sampling::NegativeSampling;
use anyhow::{Result, ensure};
use burn::tensor::Tensor;

/// What a pair model is trained for.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    pub loss: Loss,
    /// Divides scores before a softmax.
    pub temperature: f64,
    /// Learn from the highest-scored of an example's negatives alone.
    pub hardest_negative: bool,
    /// Of `ccl`: cosines of negatives below it are as good as any.
    pub margin: f64,
    /// Of `ccl`.
    pub negative_weight: f64,
    /// Subtracts the log of how probable an item is among the negatives from
    /// its score in a softmax over some of the catalog: in the batch, or drawn
    /// by popularity.
    pub logq_correction: bool,
}

/// Of `ccl`, as [`Objective`] has them.
pub const MARGIN: f64 = 0.9;
pub const NEGATIVE_WEIGHT: f64 = 10.0;

impl Objective {
    /// What kernels minimize; `None` for a loss over more than an example's
    /// own items.
    pub fn goal(&self, smoothing: f64) -> Option<Goal> {
        let smoothing = smoothing as f32;
        Some(match self.loss {
            Loss::Mse => Goal::Mse,
            Loss::Bce => Goal::Bce { smoothing },
            Loss::Bpr => Goal::Bpr,
            Loss::Softmax => Goal::Softmax {
                temperature: self.temperature as f32,
                smoothing,
            },
            Loss::Ccl => Goal::Ccl {
                margin: self.margin as f32,
                negative_weight: self.negative_weight as f32,
            },
            Loss::InBatchSoftmax | Loss::FullSoftmax => return None,
        })
    }

    /// Whether a softmax over negatives that are drawn so is corrected. Those
    /// that are drawn uniformly need it not: what is subtracted is the same for
    /// all items.
    pub fn corrects(&self, sampling: NegativeSampling) -> bool {
        self.logq_correction
            && self.loss == Loss::Softmax
            && sampling == NegativeSampling::Popularity
    }

    /// See [`crate::model::ModelSpec::unused_training_keys`].
    pub fn unused_training_keys(&self) -> Vec<String> {
        let mut unused = Vec::new();
        if !self.loss.samples_negatives() {
            unused.extend(["negatives", "negative_sampling", "popularity_alpha"]);
        }
        if matches!(self.loss, Loss::Mse | Loss::Bpr | Loss::Ccl) {
            unused.push("label_smoothing");
        }
        if self.loss != Loss::Mse {
            unused.push("normalize_ratings");
        }
        unused.into_iter().map(String::from).collect()
    }

    /// The loss of scores `[batch, 1 + negatives]`, the positive first. A
    /// softmax takes off `log_expected` of that shape where it
    /// [`Self::corrects`]: the sampled softmax of Jean et al. (ACL 2015).
    pub fn sampled(
        &self,
        scores: Tensor<2>,
        log_expected: Option<Tensor<2>>,
        smoothing: f64,
    ) -> Tensor<1> {
        match self.loss {
            Loss::Bce => losses::bce(scores, smoothing),
            Loss::Bpr => losses::bpr(scores),
            Loss::Ccl => losses::ccl(scores, self.margin, self.negative_weight),
            _ => {
                let scores = scores / self.temperature;
                let corrected = match log_expected {
                    Some(log_expected) => scores - log_expected,
                    None => scores,
                };
                losses::softmax(corrected, smoothing)
            }
        }
    }

    /// `cosine` is what the model's key of that name says, and `temperature`
    /// the name of the key that holds this one's.
    ///
    /// # Errors
    /// Values out of range, and keys that the loss does not use.
    pub fn check(&self, cosine: bool, temperature: &str) -> Result<()> {
        let name = temperature;
        ensure!(
            self.temperature > 0.0 && self.temperature.is_finite(),
            "`{name}` must be above 0"
        );
        let softmax = matches!(
            self.loss,
            Loss::Softmax | Loss::InBatchSoftmax | Loss::FullSoftmax
        );
        ensure!(
            softmax || self.temperature == 1.0,
            "`{name}` divides scores before a softmax: leave it out, or use a softmax loss"
        );
        ensure!(
            !self.hardest_negative || self.loss == Loss::Bpr,
            "`hardest_negative` is for `loss = \"bpr\"`"
        );
        check_ccl(
            self.loss == Loss::Ccl,
            ("cosine", cosine),
            (self.margin, self.negative_weight),
        )
    }
}

/// The keys of `ccl`, `margin` and `negative_weight`. `cosine` is the key that
/// makes scores cosines, and what it says.
///
/// # Errors
/// Values out of range, `ccl` without cosines, and keys of `ccl` with another
/// loss.
pub fn check_ccl(
    is_loss: bool,
    (cosine, is_cosine): (&str, bool),
    (margin, negative_weight): (f64, f64),
) -> Result<()> {
    if !is_loss {
        ensure!(
            margin == MARGIN && negative_weight == NEGATIVE_WEIGHT,
            "`margin` and `negative_weight` are for `loss = \"ccl\"`"
        );
        return Ok(());
    }
    ensure!(
        is_cosine,
        "`loss = \"ccl\"` is one of cosines: add `{cosine} = true`"
    );
    ensure!(
        (-1.0..1.0).contains(&margin),
        "`margin` must lie in [-1, 1)"
    );
    ensure!(
        negative_weight > 0.0 && negative_weight.is_finite(),
        "`negative_weight` must be above 0"
    );
    Ok(())
}
