//! Octoserve, an OCI container registry: the architecture.
//!
//! A registry is a small amount of law over a large amount of bytes. The law is
//! written once, in [`domain`] (values and decisions) and [`app`] (use cases),
//! over the two storage ports of [`ports`]. The bytes stream past it: from socket
//! to hash to disk, and from disk to socket, never held whole. The store
//! describes itself: there is no database, no index to rebuild, nothing to run
//! beside it.
//!
//! # The rings
//!
//! ```text
//! src/domain/     digest, name, manifest, record, upload, range, …    pure and synchronous
//! src/ports/      BlobStore, RecordStore, Clock, Identifiers          traits only
//! src/app/        Registry: uploads, blobs, manifests, …, collect     use cases over the ports
//! src/adapters/   http, filesystem, opendal, settings, telemetry, …   everything that touches the world
//! src/wiring.rs   settings → adapters → Registry → server and jobs    the one that knows them all
//! src/main.rs     command line → wiring → exit code
//! ```
//!
//! Each names only those above it. The compiler keeps it so: without the default
//! feature `server` the crates of the adapters are not there, and `tests/rings`
//! compiles each inner ring without those outside it.
//!
//! # What always holds
//!
//! - **Past a parser there is no raw name.** [`RepositoryName`], [`Tag`],
//!   [`Digest`] and [`UploadId`] have one parser each, and a [`RecordKey`] is made
//!   of them, so no request can spell a path out of the store.
//! - **One key per fact.** A tag, a claim, a referrer: each is a record of its own.
//!   No shared index is ever read, changed and written back.
//! - **Writes are ordered**: bytes, claim, revision, referrer, hint, tag. Whoever
//!   stops after any of them leaves a valid store; deletes go the other way.
//! - **Acknowledged is durable.** A 2xx for a blob, manifest, tag or delete says
//!   that it survives the loss of power, unless the operator gave that up.
//! - **A manifest is served byte for byte** as it was pushed, with the type that it
//!   was pushed with.
//! - **A blob is served by the repositories that claim it** and by no other. There
//!   is one copy of its bytes in the whole registry.
//! - **A miss is no error, and an error is no miss.** Ports answer a miss with
//!   `None` or a variant of an outcome; what fails is never taken for absence.
//! - **Only what does not change is remembered** by `app`: claims, revisions,
//!   content. A tag is read from the store each time.
//!
//! And what is absent:
//!
//! - No HTTP type, path, clock, random number or runtime below [`adapters`].
//! - No rule of the registry in an adapter: a new store implements two traits and
//!   passes `tests/contract`.
//! - No state of an upload in a query, a cookie or a process: any server on the
//!   same store takes the next chunk.
//! - No internal detail in an error that a client sees: one table maps errors to
//!   the wire ([`Refusal`]), and the log has the rest under the request's id.
//! - No scan, recovery or warming at the start: it takes as long however much is
//!   stored.
//!
//! # What is stored
//!
//! [`RecordKey`] draws the tree of records and [`filesystem`](adapters::filesystem)
//! that of the directory, [`opendal`](adapters::opendal) that of a bucket;
//! `docs/storage.md` shows them with their contents.
//!
//! | record | says | written by |
//! |---|---|---|
//! | [`Claim`] | this repository may serve that blob | finishing an upload, mounting |
//! | [`Revision`] | this repository holds that manifest, which refers to those | pushing a manifest |
//! | [`ReferrerRecord`] | that manifest is about this one | pushing a manifest with a `subject` |
//! | [`TaggedHint`] | that tag may point to this manifest | pushing to a tag, before the tag |
//! | [`TagRecord`] | this tag points to that manifest | pushing to a tag |
//! | [`RepositoryRecord`] | the catalog lists this repository | the first manifest |
//! | [`JobRecord`] | a process is at work on the whole store | collecting |
//!
//! # Pushing a blob
//!
//! 1. *Asked.* `src/adapters/http/server/` reads a request off a connection.
//!    [`Route::parse`] makes [`Route::BeginUpload`], [`Route::AppendChunk`] and
//!    [`Route::FinishUpload`] of it, or [`Route::PushBlob`] if it comes in one
//!    request; `src/adapters/http/uploads.rs` answers each in one function.
//! 2. *Decided* in `src/app/uploads.rs`: [`Registry::begin_upload`],
//!    [`Registry::append_chunk`] and [`Registry::finish_upload`] say whose session
//!    it is, whether the chunk follows what is there, and whether it is too large.
//! 3. *Stored* by [`BlobStore::append`] and [`BlobStore::finish`]. In a directory
//!    that is `src/adapters/filesystem/uploads.rs`: `receive.rs` hashes and writes a
//!    MiB at a time while the next one arrives, `session.rs` puts the hash aside
//!    between requests. At the end the hash is compared with the digest, the file is
//!    synced, and it is renamed to its place: nothing is read again or copied.
//! 4. *Claimed*: the [`Claim`] makes it a blob of the repository, durably.
//! 5. *Answered* 201 with its location by `src/adapters/http/uploads.rs`; or refused
//!    by the table in `src/adapters/http/refusal.rs`.
//!
//! Mounting ([`Registry::mount_blob`]) is step 4 alone.
//!
//! # Pushing a manifest
//!
//! 1. [`Route::PushManifest`] is answered in `src/adapters/http/manifests.rs`, which
//!    reads the body up to the limit.
//! 2. [`Registry::put_manifest`] parses it ([`Manifest::parse`]), checks its digest
//!    and the preconditions, and looks up all that it refers to. What is missing is
//!    named; the leases of what is there are renewed.
//! 3. [`BlobStore::put`] stores the bytes.
//! 4. [`PushedManifest::writes`] plans what makes the manifest exist, and
//!    [`RecordStore::write`] makes it durable. From here on a collector sees what the
//!    manifest refers to, so all of that is renewed once more: what is gone by now
//!    fails the push.
//! 5. [`PushedManifest::tag_writes`] plans the hint and then the tag, which is written
//!    under its precondition.
//! 6. What was written is looked at once more: had a delete run meanwhile, everything
//!    is written again, so that no tag points at nothing.
//!
//! # Pulling
//!
//! 1. A tag is one [`TagRecord`], read from the store
//!    ([`Registry::find_manifest`]); in a directory a `stat` tells whether the one in
//!    memory still holds.
//! 2. The [`Revision`] says that the repository has the manifest, and
//!    [`Registry::manifest_content`] returns its bytes after comparing their hash, or
//!    from memory.
//! 3. A blob needs a [`Claim`] ([`Registry::find_blob`]). Its bytes come as a
//!    [`BlobSource`] from [`Registry::open_blob`], and
//!    `src/adapters/http/file_body.rs` sends a file as mapped pages, which the
//!    program itself never touches.
//!
//! # Deleting
//!
//! [`Registry::delete_manifest`] removes what leads to the manifest first, its tags,
//! which its hints name, and its place among the referrers; then the revision; and then
//! it looks for both once more, since a push may have come in between.
//! [`Registry::delete_tag`] and [`Registry::delete_blob`] remove one record and its hint.
//! The bytes stay, since other repositories may claim them.
//!
//! [`Registry::collect`] removes what nothing refers to, while all the above goes on and
//! without a lock: the documentation of [`app::collect`] has the argument.
//!
//! # Where to add what
//!
//! - A setting: `src/adapters/settings/document.rs`; its variable, its checks and its
//!   suggestions follow from there, and a test asks for its line in the README.
//! - An endpoint: a variant of [`Route`], an arm in `src/adapters/http/mod.rs`, a use
//!   case.
//! - A store: a module in `src/adapters/`, its settings, an arm in
//!   `src/wiring/stores.rs`, a line in `tests/contract/adapters.rs`.
//! - Decisions that were hard to make are in `docs/decisions/`.
//!
//! [`BlobSource`]: ports::blob_store::BlobSource
//! [`BlobStore::append`]: ports::BlobStore::append
//! [`BlobStore::finish`]: ports::BlobStore::finish
//! [`BlobStore::put`]: ports::BlobStore::put
//! [`Claim`]: domain::record::Claim
//! [`Digest`]: domain::digest::Digest
//! [`JobRecord`]: domain::record::JobRecord
//! [`Manifest::parse`]: domain::manifest::Manifest::parse
//! [`PushedManifest::tag_writes`]: domain::push::PushedManifest::tag_writes
//! [`PushedManifest::writes`]: domain::push::PushedManifest::writes
//! [`RecordKey`]: domain::record_key::RecordKey
//! [`RecordStore::write`]: ports::RecordStore::write
//! [`ReferrerRecord`]: domain::record::ReferrerRecord
//! [`Refusal`]: adapters::http::Refusal
//! [`Registry::append_chunk`]: app::Registry::append_chunk
//! [`Registry::begin_upload`]: app::Registry::begin_upload
//! [`Registry::collect`]: app::Registry::collect
//! [`Registry::delete_blob`]: app::Registry::delete_blob
//! [`Registry::delete_manifest`]: app::Registry::delete_manifest
//! [`Registry::delete_tag`]: app::Registry::delete_tag
//! [`Registry::find_blob`]: app::Registry::find_blob
//! [`Registry::find_manifest`]: app::Registry::find_manifest
//! [`Registry::finish_upload`]: app::Registry::finish_upload
//! [`Registry::manifest_content`]: app::Registry::manifest_content
//! [`Registry::mount_blob`]: app::Registry::mount_blob
//! [`Registry::open_blob`]: app::Registry::open_blob
//! [`Registry::put_manifest`]: app::Registry::put_manifest
//! [`RepositoryName`]: domain::name::RepositoryName
//! [`RepositoryRecord`]: domain::record::RepositoryRecord
//! [`Revision`]: domain::record::Revision
//! [`Route`]: adapters::http::Route
//! [`Route::AppendChunk`]: adapters::http::Route::AppendChunk
//! [`Route::BeginUpload`]: adapters::http::Route::BeginUpload
//! [`Route::FinishUpload`]: adapters::http::Route::FinishUpload
//! [`Route::parse`]: adapters::http::Route::parse
//! [`Route::PushBlob`]: adapters::http::Route::PushBlob
//! [`Route::PushManifest`]: adapters::http::Route::PushManifest
//! [`Tag`]: domain::name::Tag
//! [`TaggedHint`]: domain::record::TaggedHint
//! [`TagRecord`]: domain::record::TagRecord
//! [`UploadId`]: domain::upload::UploadId

#![forbid(unsafe_op_in_unsafe_fn)]

#[cfg(feature = "server")]
pub mod adapters;
pub mod app;
pub mod domain;
pub mod ports;
