#!/usr/bin/env bash
# Runs an image as production should, waits until Docker calls it healthy, and scores a group: bash docker/try-image.sh IMAGE
set -euo pipefail
cd "$(dirname "$0")/.."
image=$1

user=$(docker image inspect --format '{{.Config.User}}' "$image")
[[ $user =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || { echo "the user of the image is $user: expected numbers other than 0" >&2; exit 1; }
for label in title description version revision licenses; do
  value=$(docker image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$label\"}}" "$image")
  [[ -n $value ]] || { echo "the label $label is missing" >&2; exit 1; }
done

container=$(docker run --detach --read-only --cap-drop ALL --security-opt no-new-privileges --publish 127.0.0.1:8080:8080 "$image")
trap 'docker logs "$container"; docker rm --force "$container" > /dev/null' EXIT
for _ in {1..60}; do
  health=$(docker inspect --format '{{.State.Health.Status}}' "$container")
  [[ $health == healthy ]] && break
  sleep 1
done
[[ $health == healthy ]] || { echo "the container is $health after a minute" >&2; exit 1; }
curl --fail --silent --retry 10 --retry-all-errors http://127.0.0.1:8080/readyz > /dev/null
curl --fail --silent --header 'content-type: application/octet-stream' --data-binary @examples/group.safetensors \
  http://127.0.0.1:8080/score | grep --quiet '"outcome":"scored"'
