//! The data sets that `recsys data fetch` knows.

use anyhow::{Result, bail};

/// A public data set: where it lives, under which terms, and how to know it.
pub struct FetchEntry {
    pub name: &'static str,
    /// One line: what it holds.
    pub summary: &'static str,
    /// The page that a person reads about it.
    pub page: &'static str,
    /// The terms, shown before anything is downloaded.
    pub license: &'static str,
    pub source: Source,
    pub files: &'static [CatalogFile],
}

/// The official address.
pub enum Source {
    /// One zip archive, with the SHA-256 of the archive.
    Zip {
        url: &'static str,
        sha256: &'static str,
    },
    /// Plain files below one address.
    Files { base: &'static str },
}

/// One file of a data set.
pub struct CatalogFile {
    pub name: &'static str,
    /// Without it the data set is of no use.
    pub required: bool,
    pub check: Check,
}

/// How the content of a file is recognized.
pub enum Check {
    /// Not at all: side files whose wording changed over the years.
    Any,
    /// SHA-256 of the bytes.
    Sha256(&'static str),
    /// SHA-256 after sorting the lines: copies differ in the order of rows.
    SortedLines(&'static str),
    /// SHA-256 after sorting the lines by user, and the items of each line.
    SortedItems(&'static str),
}

const fn required(name: &'static str, sha256: &'static str) -> CatalogFile {
    CatalogFile {
        name,
        required: true,
        check: Check::Sha256(sha256),
    }
}

const fn optional(name: &'static str, sha256: &'static str) -> CatalogFile {
    CatalogFile {
        name,
        required: false,
        check: Check::Sha256(sha256),
    }
}

const fn side(name: &'static str) -> CatalogFile {
    CatalogFile {
        name,
        required: false,
        check: Check::Any,
    }
}

const GROUPLENS_TERMS: &str = "GroupLens terms: for research, with acknowledgment (F. Maxwell Harper and Joseph A. Konstan, \
     The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015). No redistribution and no commercial or \
     revenue-bearing use without permission from the GroupLens Research Project, University of Minnesota. \
     The full text is in the README of the data set.";

/// All data sets, in the order in which they are listed.
pub const CATALOG: &[FetchEntry] = &[
    FetchEntry {
        name: "ml-100k",
        summary: "MovieLens 100K: 100,000 ratings of 1,682 movies by 943 users, with five given folds",
        page: "https://grouplens.org/datasets/movielens/100k/",
        license: GROUPLENS_TERMS,
        source: Source::Zip {
            url: "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
            sha256: "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        },
        files: &[
            required(
                "u.data",
                "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
            ),
            required(
                "u.item",
                "e706db993261e876c2a6b3bc617709311da781695be13af1fe2b3e1b6f723e64",
            ),
            required(
                "u.user",
                "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
            ),
            optional(
                "u1.base",
                "ce253ec86c448b44fb3ba9a30d12dcfc2e9210cbde71efada3730c22e9ac212a",
            ),
            optional(
                "u1.test",
                "18c6014a4b2c7324f250a63f8904a7b16b2b19f911129e346141507b0cbac950",
            ),
            optional(
                "u2.base",
                "6c06f0b5df4b256da1a994f3ac66edc8da4d3f09bc9282df6b14d893366d703e",
            ),
            optional(
                "u2.test",
                "4de658d1e04ed9104629509a2e2528fce833ac8e048280183f1df167632038c3",
            ),
            optional(
                "u3.base",
                "afdc155c291c6edc41c0407e39d7462eb98d341e064f0b0a12175b80b3c4af5d",
            ),
            optional(
                "u3.test",
                "0f548b51c78327de4c156461d3e430b7e5579fe2b5681586a59416e48fd35f6d",
            ),
            optional(
                "u4.base",
                "219f0f4d40dfe9c5141d425f53fa91ee23ed275f14e280bbf1b50117afb064ca",
            ),
            optional(
                "u4.test",
                "7c02ad0a1e7ab1083c8b9d4b627203a051dd7b5eab46d99fa44de33470de8db9",
            ),
            optional(
                "u5.base",
                "a9574e59ce961eec2121627760b6e9b0974ce1637b3fe69ac32cb14a4bfab485",
            ),
            optional(
                "u5.test",
                "351cc52e0d15b6c721466276fc24671d40936899e3d01fadeaf312915b8c5634",
            ),
            side("u.genre"),
            side("u.info"),
            side("u.occupation"),
            side("README"),
        ],
    },
    FetchEntry {
        name: "ml-1m",
        summary: "MovieLens 1M: 1,000,209 ratings of 3,706 movies by 6,040 users",
        page: "https://grouplens.org/datasets/movielens/1m/",
        license: GROUPLENS_TERMS,
        source: Source::Zip {
            url: "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
            sha256: "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        },
        files: &[
            required(
                "ratings.dat",
                "506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f",
            ),
            required(
                "movies.dat",
                "0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9",
            ),
            required(
                "users.dat",
                "1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3",
            ),
            side("README"),
        ],
    },
    FetchEntry {
        name: "gowalla",
        summary: "Gowalla check-ins in the split of LightGCN: 29,858 users, 40,981 places, 810,128 train and 217,242 test pairs",
        page: "https://github.com/gusye1234/LightGCN-PyTorch",
        license: "No license is stated. The check-ins come from SNAP loc-gowalla (https://snap.stanford.edu/data/loc-Gowalla.html; \
                  E. Cho, S. A. Myers, J. Leskovec, Friendship and Mobility, KDD 2011): for research, with citation.",
        source: Source::Files {
            base: "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/947ca2b3b1d2d3545b114145710cb06c4e57b3d2/data/gowalla",
        },
        files: &[
            CatalogFile {
                name: "train.txt",
                required: true,
                check: Check::SortedItems(
                    "0f086326b28a56c2e6dcb81d86ee72d4ccb7eed3a8d26788392356d8f51111cc",
                ),
            },
            required(
                "test.txt",
                "099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3",
            ),
            side("user_list.txt"),
            side("item_list.txt"),
        ],
    },
    FetchEntry {
        name: "ncf-ml-1m",
        summary: "MovieLens 1M as the NCF paper split it: each user's last movie held out, ranked among 99 given negatives",
        page: "https://github.com/hexiangnan/neural_collaborative_filtering",
        license: "The repository is under Apache-2.0; the data derive from MovieLens 1M, so the GroupLens terms hold: \
                  for research, with acknowledgment; no redistribution and no commercial use without permission.",
        source: Source::Files {
            base: "https://raw.githubusercontent.com/hexiangnan/neural_collaborative_filtering/4aab159e81c44b062c091bdaed0ab54ac632371f/Data",
        },
        files: &[
            CatalogFile {
                name: "ml-1m.train.rating",
                required: true,
                check: Check::SortedLines(
                    "b97bfd7ba72522a31207c3f503592028fa28884db67e3b95e713f9e707be0347",
                ),
            },
            required(
                "ml-1m.test.rating",
                "231ae11eb060b643a8c58c063cd17ffc743b54f569afb073d1abb6cf126b88b5",
            ),
            required(
                "ml-1m.test.negative",
                "127853228a76b7d21c0481e8ef8d00dd009cd5c88670dbdd9e9debfdb9f93de4",
            ),
        ],
    },
    FetchEntry {
        name: "lastfm",
        summary: "Last.fm listening in the split of LightGCN: 1,880 users, 4,489 artists, and who trusts whom",
        page: "https://github.com/gusye1234/LightGCN-PyTorch",
        license: "No license is stated. The data come from HetRec 2011 Last.fm 2K \
                  (https://grouplens.org/datasets/hetrec-2011/): non-commercial research use.",
        source: Source::Files {
            base: "https://raw.githubusercontent.com/gusye1234/LightGCN-PyTorch/947ca2b3b1d2d3545b114145710cb06c4e57b3d2/data/lastfm",
        },
        files: &[
            required(
                "data1.txt",
                "c82af3228cbbda2f55a39244de09ed93292894f1d0d9f1908ebb57e27598fded",
            ),
            required(
                "test1.txt",
                "de4417c0e6123284ce59a0934bcf5288ec1ec8774a18a1eef453c9952dfa48f9",
            ),
            optional(
                "trustnetwork.txt",
                "5b5bd7cbe4d22f3cd333dbfc7ec4b995cb2bdb28d95b0e9c5fc5607079f7b69e",
            ),
        ],
    },
    FetchEntry {
        name: "beauty",
        summary: "Amazon Beauty as BERT4Rec cut it: 353,962 actions of 40,226 users on 54,542 products, in time order",
        page: "https://github.com/FeiSun/BERT4Rec",
        license: "The repository is under Apache-2.0; the data derive from the Amazon reviews of 2014 \
                  (J. McAuley, https://jmcauley.ucsd.edu/data/amazon/): for research.",
        source: Source::Files {
            base: "https://raw.githubusercontent.com/FeiSun/BERT4Rec/615eaf2004abecda487a38d5b0c72f3dcfcae5b3/data",
        },
        files: &[required(
            "beauty.txt",
            "f480b7a7403852342ffd8f9809bb30697dd669be31813d0e204b698fec86ef49",
        )],
    },
];

/// Finds a data set by name.
///
/// # Errors
/// An unknown name; offers the nearest one and lists all.
pub fn find(name: &str) -> Result<&'static FetchEntry> {
    if let Some(entry) = CATALOG.iter().find(|e| e.name == name) {
        return Ok(entry);
    }
    if name == "nycflights" {
        bail!("`nycflights` comes with recsys: it lies in datasets/nycflights of the source");
    }
    let names: Vec<_> = CATALOG.iter().map(|e| e.name).collect();
    bail!(
        "unknown data set `{name}`{} (there are: {})",
        crate::suggest::did_you_mean(name, &names),
        names.join(", ")
    )
}
