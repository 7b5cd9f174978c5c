"""What `huggingface_hub` makes of a cache that it shares with `cnn-hub`.

    CNN_PYTHON=python3 cargo test --package cnn-hub --test python -- --ignored --nocapture

starts a server that behaves as the hub does, names it in HF_ENDPOINT and the cache in HF_HOME, and runs this program:

    hub_cache.py download REPOSITORY PATH   downloads a file, or finds it, and prints where it is
    hub_cache.py find REPOSITORY PATH       finds it without a network
    hub_cache.py scan                       looks through the whole cache for anything wrong
"""

import sys

from huggingface_hub import hf_hub_download, scan_cache_dir


def main() -> None:
    command, repository, path = (sys.argv[1:] + ["", ""])[:3]
    if command in ("download", "find"):
        print(hf_hub_download(repository, path, local_files_only=command == "find"))
    elif command == "scan":
        cache = scan_cache_dir()
        if cache.warnings:
            sys.exit("\n".join(str(warning) for warning in cache.warnings))
        files = [file.file_name for repo in cache.repos for revision in repo.revisions for file in revision.files]
        print(f"{len(files)} files, {cache.size_on_disk} bytes, no warnings")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
