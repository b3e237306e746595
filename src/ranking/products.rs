//! Ranking where scores are inner products.

use super::select::Best;
use super::{Ranked, RankingOptions, Request, rank_rows};
use crate::kernels::scan::{GROUP, PANEL, Panels, scan};
use crate::model::{QueryVectors, Recommender};
use anyhow::{Result, ensure};
use rayon::prelude::*;

/// Requests whose vectors are held at a time.
const REQUESTS: usize = 4096;

/// Users of a thread that scan the catalog together: enough to hide reading
/// it, few enough for their vectors to stay in the nearest cache.
const USERS: usize = 8 * GROUP;

/// Bytes of flags of seen items that a thread holds at most, if that allows
/// one group of users.
const FLAG_BYTES: usize = 8 << 20;

/// As [`super::Ranker::rank`].
pub fn rank(
    model: &dyn Recommender,
    panels: &Panels,
    requests: &[Request<'_>],
    options: &RankingOptions<'_>,
) -> Result<Vec<Ranked>> {
    ensure!(
        !panels.is_empty() || requests.is_empty(),
        "the catalog has no items to rank"
    );
    let allowed = allowed_bits(panels, options.allowed);
    let mut lists = Vec::with_capacity(requests.len());
    for part in requests.chunks(REQUESTS) {
        let queries: Vec<_> = part.iter().map(|r| r.query).collect();
        let users = model.query_vectors(&queries)?;
        if panels.all_finite(&users.vectors, &users.offsets) {
            lists.extend(scan_all(panels, part, &users, &allowed, options.k));
        } else {
            // Some score may be no number: the plain way looks at each.
            lists.extend(rank_rows(model, part, options)?);
        }
    }
    Ok(lists)
}

/// For each panel one bit for each item that may be returned.
fn allowed_bits(panels: &Panels, allowed: Option<&[bool]>) -> Vec<u32> {
    let bit = |item: usize| item < panels.num_items() && allowed.is_none_or(|a| a[item]);
    (0..panels.len())
        .map(|panel| {
            (0..PANEL).fold(0, |bits, place| {
                bits | u32::from(bit(panel * PANEL + place)) << place
            })
        })
        .collect()
}

/// The lists of some users; blocks of them are scanned in parallel.
fn scan_all(
    panels: &Panels,
    requests: &[Request<'_>],
    users: &QueryVectors,
    allowed: &[u32],
    k: usize,
) -> Vec<Ranked> {
    let height = height(panels, requests.len());
    let blocks: Vec<Vec<Ranked>> = requests
        .par_chunks(height)
        .zip(users.vectors.par_chunks(height * panels.dim()))
        .zip(users.offsets.par_chunks(height))
        .map_init(Vec::new, |flags, ((requests, vectors), offsets)| {
            flag_masked(flags, panels, requests);
            let new = |_: &Request<'_>| Best::new(k.min(panels.num_items()));
            let mut best: Vec<Best> = requests.iter().map(new).collect();
            scan(panels, vectors, offsets, |user, panel, above, scores| {
                let best = &mut best[user];
                let mut open = above & allowed[panel] & !flags[user * panels.len() + panel];
                while open != 0 {
                    let place = open.trailing_zeros();
                    let item = (panel * PANEL) as u32 + place;
                    best.offer(scores[place as usize], item);
                    open &= open - 1;
                }
                best.threshold()
            });
            best.into_iter().map(Best::finish).collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

/// Users of a block: fewer where there are not enough for all threads, or
/// where the flags of a large catalog would not fit.
fn height(panels: &Panels, requests: usize) -> usize {
    let share = requests.div_ceil(rayon::current_num_threads());
    let fitting = FLAG_BYTES / (panels.len() * size_of::<u32>());
    let groups = share.min(fitting).min(USERS).div_ceil(GROUP);
    groups.max(1) * GROUP
}

/// One bit for each item, panel by panel, user by user.
fn flag_masked(flags: &mut Vec<u32>, panels: &Panels, requests: &[Request<'_>]) {
    flags.clear();
    flags.resize(requests.len() * panels.len(), 0);
    for (row, request) in flags.chunks_exact_mut(panels.len()).zip(requests) {
        for &item in request.masked {
            row[item as usize / PANEL] |= 1 << (item as usize % PANEL);
        }
    }
}
