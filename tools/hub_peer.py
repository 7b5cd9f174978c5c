"""What Python's `huggingface_hub` does where `cnn-hub` does the same.

    CNN_PYTHON=python3 cargo test --package cnn-hub --test python -- --nocapture

starts a server that behaves as the hub does, names it in HF_ENDPOINT and the cache in HF_HOME, and runs this program:

    hub_peer.py download REPOSITORY PATH   downloads a file, or finds it, and prints where it is
    hub_peer.py find REPOSITORY PATH       finds it without a network
    hub_peer.py scan                       looks through the whole cache for anything wrong
    hub_peer.py push REPOSITORY FOLDER     creates the repository, private, and adds the folder's files
"""

import sys

from huggingface_hub import create_repo, hf_hub_download, scan_cache_dir, upload_folder


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
    elif command == "push":
        create_repo(repository, repo_type="model", private=True, exist_ok=True)
        print(upload_folder(repo_id=repository, folder_path=path, commit_message="Add weights").oid)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
