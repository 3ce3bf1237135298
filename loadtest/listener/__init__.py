"""The compiled listener measured, fuzzed and shaken; and a load generator that is compiled as well."""
