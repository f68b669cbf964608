//! A token, and the root keys in it.

use core::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use mayfly_keys::{CheckValue, KeyModule, KeyService, Mac, ModuleError, RootKey};
use zeroize::Zeroize;

use crate::error::{TokenError, Unfit};

/// Where a token is, and what opens it.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The library that speaks to the module.
    pub library: &'a Path,
    /// The token's label. (Slots change their numbers when something is connected.)
    pub token: &'a str,
    /// The user's PIN.
    pub pin: &'a str,
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("library", &self.library)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// A token, logged into. Everything in it goes over one session.
pub struct Token {
    context: Pkcs11,
    slot: Slot,
    session: Arc<Mutex<Session>>,
}

/// A root key in a token: what a key service is opened with.
pub struct TokenRoot {
    session: Arc<Mutex<Session>>,
    key: ObjectHandle,
}

impl Token {
    /// Loads the module, finds the token and logs in.
    ///
    /// # Errors
    ///
    /// [`TokenError`], for each thing that can be wrong one of its own.
    pub fn open(access: Access<'_>) -> Result<Self, TokenError> {
        let context = Pkcs11::new(access.library).map_err(|error| TokenError::Library {
            path: access.library.to_owned(),
            reason: error.to_string(),
        })?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another token of the same module is open in this process.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        let slot = find_token(&context, access.token)?;
        let can_sign =
            context.get_mechanism_info(slot, MechanismType::AES_CMAC).is_ok_and(|info| info.sign());
        if !can_sign {
            return Err(TokenError::NoCmac);
        }
        let session = context.open_ro_session(slot)?;
        match session.login(UserType::User, Some(&AuthPin::from(access.pin))) {
            // Another session of this process is; the token knows one user for all of them.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
                return Err(TokenError::Pin { locked: false });
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => return Err(TokenError::Pin { locked: true }),
            Err(error) => return Err(error.into()),
        }
        Ok(Self { context, slot, session: Arc::new(Mutex::new(session)) })
    }

    /// The root key with this label. It is looked up here, and never again.
    ///
    /// # Errors
    ///
    /// [`TokenError::NoKey`], [`TokenError::SeveralKeys`], [`TokenError::Unfit`] for a key that the token would give away,
    /// [`TokenError::Module`].
    pub fn root(&self, label: &str) -> Result<TokenRoot, TokenError> {
        let session = lock(&self.session);
        let found = session.find_objects(&named(label))?;
        let key = match found.as_slice() {
            [] => return Err(TokenError::NoKey { label: label.to_owned() }),
            [key] => *key,
            several => {
                return Err(TokenError::SeveralKeys { label: label.to_owned(), count: several.len() });
            }
        };
        match unfit(&session, key)? {
            None => Ok(TokenRoot { session: Arc::clone(&self.session), key }),
            Some(reason) => Err(TokenError::Unfit { label: label.to_owned(), reason }),
        }
    }

    /// Brings a root key into the token, under a label that is free there, and checks that the token computes with it.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; then it is not in the token.
    pub fn import_root(&self, label: &str, root: &RootKey) -> Result<CheckValue, TokenError> {
        let expected = root.check_value();
        self.bring_in(label, Some(expected), |session, mut template| {
            template.push(Attribute::Value(root.expose_to_module().to_vec()));
            let created = session.create_object(&template);
            for attribute in &mut template {
                if let Attribute::Value(bytes) = attribute {
                    bytes.zeroize();
                }
            }
            created
        })
    }

    /// Has the token draw a root key, under a label that is free there: nobody ever has it, and there is no other copy
    /// than those that the module's maker provides for.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; then there is no new key.
    pub fn generate_root(&self, label: &str) -> Result<CheckValue, TokenError> {
        self.bring_in(label, None, |session, mut template| {
            // The mechanism says of what class and type its keys are.
            template.retain(|attribute| !matches!(attribute, Attribute::Class(_) | Attribute::KeyType(_)));
            template.push(Attribute::ValueLen((RootKey::BYTES as u64).into()));
            session.generate_key(&Mechanism::AesKeyGen, &template)
        })
    }

    /// Makes a key, and looks at it as at every start: what does not pass is removed.
    fn bring_in(
        &self,
        label: &str,
        expected: Option<CheckValue>,
        make: impl FnOnce(&Session, Vec<Attribute>) -> Result<ObjectHandle, Error>,
    ) -> Result<CheckValue, TokenError> {
        let writing = self.context.open_rw_session(self.slot)?;
        if !writing.find_objects(&named(label))?.is_empty() {
            return Err(TokenError::KeyExists { label: label.to_owned() });
        }
        let made = make(&writing, template(label))?;
        let checked = self.root(label).and_then(|root| {
            let found = KeyService::open(Box::new(root))?.check_value();
            match expected {
                Some(expected) if expected != found => Err(TokenError::CheckValueDiffers { expected, found }),
                _ => Ok(found),
            }
        });
        if checked.is_err() {
            // It is this call's own; the first error is the one to tell.
            let _ = writing.destroy_object(made);
        }
        checked
    }
}

impl KeyModule for TokenRoot {
    fn root_mac(&self, parts: &[&[u8]]) -> Result<Mac, ModuleError> {
        // Labels and BINs, no secrets.
        let message = parts.concat();
        let mac = lock(&self.session).sign(&Mechanism::AesCMac, self.key, &message).map_err(failed)?;
        let length = ModuleError::MacLength { bytes: mac.len() };
        mac.try_into().map(Mac::from_bytes).map_err(|_| length)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Debug for TokenRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenRoot(..)")
    }
}

fn find_token(context: &Pkcs11, label: &str) -> Result<Slot, TokenError> {
    let slots = context.get_slots_with_initialized_token()?;
    let (mut matching, mut others) = (Vec::new(), Vec::new());
    for slot in slots {
        let info = context.get_token_info(slot)?;
        if info.label() == label { matching.push(slot) } else { others.push(info.label().to_owned()) }
    }
    match matching.as_slice() {
        [] => Err(TokenError::NoToken { label: label.to_owned(), found: others }),
        [slot] => Ok(*slot),
        _ => Err(TokenError::SeveralTokens { label: label.to_owned() }),
    }
}

/// What a root key is found by.
fn named(label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

/// A root key computes CMACs and does nothing else, is changed by nobody and never leaves.
fn template(label: &str) -> Vec<Attribute> {
    let mut template = named(label);
    template.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Sign(true),
        Attribute::Verify(false),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]);
    template
}

/// Why a key can't be a root key, if it can't.
fn unfit(session: &Session, key: ObjectHandle) -> Result<Option<Unfit>, TokenError> {
    let asked =
        [AttributeType::Sensitive, AttributeType::Extractable, AttributeType::Sign, AttributeType::ValueLen];
    let attributes = session.get_attributes(key, &asked)?;
    let has = |wanted: &Attribute| attributes.contains(wanted);
    Ok(if !has(&Attribute::Sensitive(true)) || !has(&Attribute::Extractable(false)) {
        Some(Unfit::Exposed)
    } else if !has(&Attribute::Sign(true)) {
        Some(Unfit::NoSign)
    } else if !has(&Attribute::ValueLen((RootKey::BYTES as u64).into())) {
        Some(Unfit::Length)
    } else {
        None
    })
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    // A session has no state of ours that could be half changed.
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        Self::Module(failed(error))
    }
}

/// The module's own names for function and reason: they say nothing of PINs or keys.
fn failed(error: Error) -> ModuleError {
    match error {
        Error::Pkcs11(reason, function) => {
            ModuleError::Failed { function: format!("C_{function:?}"), reason: format!("{reason:?}") }
        }
        other => ModuleError::Failed { function: "PKCS#11".to_owned(), reason: other.to_string() },
    }
}
