# RabbitMQ of compose.yaml: the user first, then the definitions, which give it its rights.
set -eu
docker-entrypoint.sh rabbitmq-server &
server=$!
trap 'kill -TERM $server' TERM INT
rabbitmqctl await_startup --timeout 120
rabbitmqctl --quiet add_user tts-production "$RABBITMQ_PASSWORD" ||
    rabbitmqctl --quiet change_password tts-production "$RABBITMQ_PASSWORD"
rabbitmqctl --quiet import_definitions /tts/definitions.json
wait "$server" || wait "$server"
