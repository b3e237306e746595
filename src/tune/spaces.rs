//! Where to look when a config does not say: for each model the keys that
//! matter most, over ranges that hold what is published for them.

use super::space::Space;
use anyhow::{Context, Result};
use toml::Table;

/// A learning rate with what is usual around it.
const RATE: &str = "training.learning_rate = { float = [2e-4, 2e-2], log = true }\n";

const WIDTH: &str = "model.embedding_dim = { int = [16, 256], log = true }\n";

/// Of an MLP over embeddings.
const TOWER: &str = "model.dropout = { float = [0.0, 0.5] }\n\
                     model.regularization = { float = [1e-6, 0.01], log = true }\n\
                     training.negatives = { int = [1, 8], log = true }\n";

/// `[tune.space]` of a model.
///
/// # Errors
/// A model of which it is not known what to tune.
pub fn default_space(model: &str) -> Result<Space> {
    let text = text(model).with_context(|| {
        format!("there is no usual range of settings of `{model}`: write a [tune.space]")
    })?;
    let table: Table = text.parse().context("a space of this program is no TOML")?;
    Space::parse(&table)
}

fn text(model: &str) -> Option<String> {
    let neighbors = "model.neighbors = { int = [5, 1000], log = true }\n";
    Some(match model {
        "item_knn" | "user_knn" => format!(
            "{neighbors}model.shrinkage = {{ float = [0.1, 1000.0], log = true }}\n\
             model.similarity = {{ choice = [\"cosine\", \"pearson\", \"tf_idf\"] }}\n"
        ),
        "rp3beta" => format!(
            "{neighbors}model.alpha = {{ float = [0.3, 2.0] }}\nmodel.beta = {{ float = [0.0, 1.2] }}\n"
        ),
        "slim" => "model.l1 = { float = [0.01, 30.0], log = true }\n\
                   model.l2 = { float = [1.0, 1000.0], log = true }\n"
            .to_string(),
        "ease" => "model.regularization = { float = [1.0, 10000.0], log = true }\n".to_string(),
        "pure_svd" => "model.embedding_dim = { int = [8, 512], log = true }\n".to_string(),
        "gf_cf" => format!("{WIDTH}model.alpha = {{ float = [0.0, 1.0] }}\n"),
        "ials" => format!(
            "{WIDTH}model.unobserved_weight = {{ float = [0.003, 1.0], log = true }}\n\
             model.regularization = {{ float = [3e-4, 0.1], log = true }}\n"
        ),
        "mf" => format!(
            "{RATE}{WIDTH}model.regularization = {{ float = [1e-5, 0.1], log = true }}\n\
             training.negatives = {{ int = [1, 16], log = true }}\n"
        ),
        "svdpp" => format!("{RATE}{WIDTH}"),
        "gmf" => format!("{RATE}{WIDTH}training.negatives = {{ int = [1, 8], log = true }}\n"),
        "mlp" => {
            format!("{RATE}model.mlp_embedding_dim = {{ int = [16, 256], log = true }}\n{TOWER}")
        }
        "neumf" => format!("{RATE}{WIDTH}{TOWER}"),
        "mult_vae" => format!(
            "{RATE}model.dropout = {{ float = [0.1, 0.8] }}\nmodel.beta = {{ float = [0.0, 1.0] }}\n\
             model.latent_dim = {{ int = [32, 400], log = true }}\n"
        ),
        "mult_dae" | "rec_vae" => format!(
            "{RATE}model.dropout = {{ float = [0.1, 0.8] }}\n\
             model.latent_dim = {{ int = [32, 400], log = true }}\n"
        ),
        "lightgcn" => format!(
            "{RATE}model.layers = {{ int = [1, 4] }}\n\
             model.regularization = {{ float = [1e-6, 0.01], log = true }}\n"
        ),
        "sasrec" | "hstu" | "gru4rec" | "bert4rec" | "nextitnet" => {
            format!("{RATE}model.dropout = {{ float = [0.0, 0.6] }}\n")
        }
        _ => return None,
    })
}
