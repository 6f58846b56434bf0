//! One file of the lying disk: its octets, those that would survive, and what lies between.

use super::Fate;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Octets that a disk writes or loses as one.
pub const SECTOR: usize = 512;

/// A file, with or without a name.
#[derive(Clone, Default)]
pub(super) struct Inode {
    octets: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// Sectors written since the last sync.
    touched: BTreeSet<usize>,
    /// Sectors that a failed sync has lost.
    doomed: BTreeSet<usize>,
}

impl Inode {
    /// A file whose octets are durable.
    pub fn durable(octets: Arc<Vec<u8>>) -> Inode {
        Inode { durable: octets.clone(), octets, ..Inode::default() }
    }

    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub fn shared(&self) -> Arc<Vec<u8>> {
        self.octets.clone()
    }

    pub fn has_unsynced(&self) -> bool {
        !self.touched.is_empty() || !self.doomed.is_empty()
    }

    /// As if the sync that was just done were still under way.
    pub fn as_before_sync(&mut self, earlier: &Inode) {
        if !Arc::ptr_eq(&self.durable, &earlier.durable) && earlier.octets != self.octets {
            // Written and synced by one call.
            self.touched.extend(0..=self.octets.len() / SECTOR);
        }
        self.durable = earlier.durable.clone();
        self.touched.extend(&earlier.touched);
        self.doomed.clone_from(&earlier.doomed);
    }

    pub fn sync_failed(&mut self) {
        self.doomed.append(&mut self.touched);
    }

    pub fn rot(&mut self, offset: usize, bits: u8) -> io::Result<()> {
        let octet = Arc::make_mut(&mut self.octets).get_mut(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
        *octet ^= bits;
        self.durable = self.octets.clone();
        Ok(())
    }

    pub fn write(&mut self, offset: usize, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        let end = offset + octets.len();
        let all = Arc::make_mut(&mut self.octets);
        let old_end = all.len();
        if all.len() < end {
            all.resize(end, 0);
        }
        all[offset..end].copy_from_slice(octets);
        for sector in offset.min(old_end) / SECTOR..=(end - 1) / SECTOR {
            self.touched.insert(sector);
            // Written anew, it is a new write.
            self.doomed.remove(&sector);
        }
    }

    /// All that was touched becomes durable; what a failed sync has lost does not.
    pub fn sync(&mut self) {
        let durable = Arc::make_mut(&mut self.durable);
        durable.resize(self.octets.len(), 0);
        for sector in &self.touched {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(durable.len());
            if from < to {
                durable[from..to].copy_from_slice(&self.octets[from..to]);
            }
        }
        self.touched.clear();
    }

    pub fn after_power_cut(&self, fate: Fate, file: u64) -> Arc<Vec<u8>> {
        if self.touched.is_empty() && self.doomed.is_empty() {
            return self.durable.clone();
        }
        let mut chance = Chance(match fate {
            Fate::Mixed(seed) => seed ^ file.wrapping_mul(0xD6E8_FEB8_6659_FD93),
            _ => 0,
        });
        let (old, new) = (self.durable.len(), self.octets.len());
        let len = match fate {
            Fate::Lost | Fate::Last => old.min(new),
            Fate::Kept | Fate::First => new,
            Fate::Mixed(_) => old.min(new) + chance.below(old.abs_diff(new) + 1),
        };
        let mut octets: Vec<u8> = self.durable.iter().copied().chain(std::iter::repeat(0)).take(len).collect();
        let half = self.touched.len() / 2;
        for (i, sector) in self.touched.iter().enumerate() {
            let arrives = match fate {
                Fate::Lost => Arrives::Not,
                Fate::Kept => Arrives::Whole,
                Fate::First if i == half => Arrives::Part(SECTOR / 3),
                Fate::First => {
                    if i < half {
                        Arrives::Whole
                    } else {
                        Arrives::Not
                    }
                }
                Fate::Last => {
                    if i < half {
                        Arrives::Not
                    } else {
                        Arrives::Whole
                    }
                }
                Fate::Mixed(_) => match chance.below(4) {
                    0 => Arrives::Not,
                    1 => Arrives::Whole,
                    2 => Arrives::Part(chance.below(SECTOR)),
                    _ => Arrives::Garbage,
                },
            };
            let from = sector * SECTOR;
            for (i, octet) in octets.iter_mut().skip(from).take(SECTOR).enumerate() {
                let written = self.octets.get(from + i).copied().unwrap_or(0);
                match arrives {
                    Arrives::Whole => *octet = written,
                    Arrives::Part(count) if i < count => *octet = written,
                    Arrives::Garbage => *octet = chance.next().to_le_bytes()[0],
                    Arrives::Part(_) | Arrives::Not => {}
                }
            }
        }
        Arc::new(octets)
    }
}

#[derive(Copy, Clone)]
enum Arrives {
    Not,
    Whole,
    Part(usize),
    Garbage,
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap_or(0)
    }
}
