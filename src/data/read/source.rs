//! One source of interactions, and which columns of a file it means.

use crate::data::config::{Column, DataConfig, Shared, SourceConfig};
use crate::data::read::schema::{Header, ITEM_NAMES, RATING_NAMES, TIMESTAMP_NAMES, USER_NAMES};
use crate::data::read::table::Layout;
use anyhow::{Result, ensure};

/// A source, ready to be read.
pub struct Source<'a> {
    pub config: &'a SourceConfig,
    pub layout: Layout,
    /// `data` or `data.source`, for messages.
    key: &'static str,
    /// Whether the rows are labeled with the name of the source.
    pub labeled: bool,
    /// Set before the ids that are not shared with other sources.
    pub user_prefix: Option<String>,
    pub item_prefix: Option<String>,
}

impl<'a> Source<'a> {
    pub fn new(config: &'a SourceConfig, data: &DataConfig) -> Result<Self> {
        let several = data.source.len() > 1;
        ensure!(
            !several || config.name.is_some(),
            "each [[data.source]] needs a name when there are several"
        );
        let prefix = |own: bool| {
            let name = config.name.as_ref().filter(|_| several && own);
            name.map(|n| format!("{n}:"))
        };
        let columns = [
            &config.user,
            &config.item,
            &config.rating,
            &config.timestamp,
            &config.event,
            &config.platform,
        ];
        let by_name = |c: &&Option<Column>| matches!(c, Some(Column::Name(n)) if !n.is_empty());
        Ok(Self {
            config,
            layout: Layout {
                format: config.format,
                delimiter: config.delimiter.clone(),
                header: config.header,
                quote: config.quote,
                escape: config.escape,
                encoding: config.encoding.unwrap_or_default(),
                columns_by_name: columns.iter().any(by_name),
                usual_names: vec![USER_NAMES, ITEM_NAMES],
                malformed: data.clean.malformed,
            },
            key: if data.source.is_empty() {
                "data"
            } else {
                "data.source"
            },
            labeled: several && config.platform.is_none(),
            user_prefix: prefix(data.shared == Shared::Items),
            item_prefix: prefix(data.shared == Shared::Users),
        })
    }

    /// Finds the columns in a header; `wanted` becomes their numbers.
    ///
    /// # Errors
    /// A column that is not there.
    pub fn slots(&self, header: &Header, wanted: &mut Vec<usize>) -> Result<Slots> {
        let (c, key) = (self.config, self.key);
        let named = |column: &str| format!("{key}.{column}");
        let mut slot = |column: Option<usize>| {
            column.map(|i| {
                wanted.push(i);
                wanted.len() - 1
            })
        };
        let optional = |column: &str, given: &Option<Column>, usual: &[&str]| {
            header.find_or_guess(&named(column), given.as_ref(), usual)
        };
        slot(Some(header.require(
            &named("user"),
            c.user.as_ref(),
            USER_NAMES,
            0,
        )?));
        slot(Some(header.require(
            &named("item"),
            c.item.as_ref(),
            ITEM_NAMES,
            1,
        )?));
        let event = slot(optional("event", &c.event, &[])?);
        let rating_names = if event.is_some() { &[] } else { RATING_NAMES };
        let slots = Slots {
            event,
            rating: slot(optional("rating", &c.rating, rating_names)?),
            timestamp: slot(optional("timestamp", &c.timestamp, TIMESTAMP_NAMES)?),
            platform: slot(optional("platform", &c.platform, &[])?),
            labeled: self.labeled,
        };
        ensure!(
            slots.event.is_none() || c.event_weights.as_ref().is_some_and(|w| !w.is_empty()),
            "{key}.event needs {key}.event_weights, e.g. {{ view = 1, cart = 2, purchase = 4 }}"
        );
        Ok(slots)
    }
}

/// Where each value stands among the cells of a row; user and item are the
/// first two.
#[derive(Clone, Copy, Default)]
pub struct Slots {
    pub event: Option<usize>,
    pub rating: Option<usize>,
    pub timestamp: Option<usize>,
    pub platform: Option<usize>,
    pub labeled: bool,
}

impl Slots {
    pub fn weighted(&self) -> bool {
        self.rating.is_some() || self.event.is_some()
    }

    pub fn labeled(&self) -> bool {
        self.labeled || self.platform.is_some()
    }
}
