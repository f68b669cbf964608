//! A hash map in many small pieces, for keys that are keyed hashes already.
//!
//! One large table doubles by moving everything at once, and everybody waits. Many small ones double one after
//! the other, each in microseconds. Keys come from a MAC, so nobody can choose them to collide.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// How many pieces: the bits of the key that choose one must not be those that the table itself uses
/// (the lowest and the seven highest).
const SHARDS: usize = 1024;
const SHARD_SHIFT: u32 = 44;

/// A map from 64-bit keyed hashes to small values.
#[derive(Clone, Debug)]
pub(super) struct ShardedMap<V> {
    shards: Vec<HashTable<(u64, V)>>,
    length: usize,
}

fn shard(key: u64) -> usize {
    (key >> SHARD_SHIFT) as usize % SHARDS
}

impl<V> Default for ShardedMap<V> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), length: 0 }
    }
}

impl<V> ShardedMap<V> {
    /// How many keys.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The value of a key.
    pub(super) fn find(&self, key: u64) -> Option<&V> {
        self.shards[shard(key)].find(key, |entry| entry.0 == key).map(|entry| &entry.1)
    }

    /// The value of a key, to change it.
    pub(super) fn find_mut(&mut self, key: u64) -> Option<&mut V> {
        self.shards[shard(key)].find_mut(key, |entry| entry.0 == key).map(|entry| &mut entry.1)
    }

    /// Each value, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|entry| &entry.1))
    }

    /// Sets a key's value and returns the one it had.
    pub(super) fn insert(&mut self, key: u64, value: V) -> Option<V> {
        match self.shards[shard(key)].entry(key, |entry| entry.0 == key, |entry| entry.0) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(&mut entry.get_mut().1, value)),
            Entry::Vacant(entry) => {
                entry.insert((key, value));
                self.length += 1;
                None
            }
        }
    }

    /// Each key with its value, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|(key, value)| (*key, value)))
    }

    /// The value of a key, to change it; the default if it has none yet.
    pub(super) fn find_or_default(&mut self, key: u64) -> &mut V
    where
        V: Default,
    {
        match self.shards[shard(key)].entry(key, |entry| entry.0 == key, |entry| entry.0) {
            Entry::Occupied(entry) => &mut entry.into_mut().1,
            Entry::Vacant(entry) => {
                self.length += 1;
                &mut entry.insert((key, V::default())).into_mut().1
            }
        }
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, key: u64) -> Option<V> {
        match self.shards[shard(key)].find_entry(key, |entry| entry.0 == key) {
            Ok(entry) => {
                self.length -= 1;
                Some(entry.remove().0.1)
            }
            Err(_) => None,
        }
    }
}
