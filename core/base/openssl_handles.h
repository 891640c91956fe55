// OpenSSL's objects as owning pointers, and PEM texts as it reads them. Header only: this layer
// does not link OpenSSL, who includes it does.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string_view>

namespace bascule::openssl {

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <typename T, auto Free>
using Owned = std::unique_ptr<T, Freer<Free>>;

using BioPtr = Owned<BIO, &BIO_free>;
using X509Ptr = Owned<X509, &X509_free>;
using KeyPtr = Owned<EVP_PKEY, &EVP_PKEY_free>;
using NamesPtr = Owned<GENERAL_NAMES, &GENERAL_NAMES_free>;

// Borrows `text`.
inline BioPtr Memory(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// For PEM readers: keys with a passphrase cannot be used, nobody is asked for it.
inline int NoPassphrase(char*, int, int, void*) { return -1; }

}  // namespace bascule::openssl
