#!/usr/bin/env bash
# Makes what cluster.yaml needs in your AWS account and writes cluster.local.yaml, which `ray up` takes.
#
#   deploy/aws/configure.sh us-west-2 my-bucket 203.0.113.7/32
#
# Needs the AWS command line with rights to make a CloudFormation stack with IAM roles. May be repeated: with another
# address when yours has changed, or for a newer image. Costs nothing by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ $# -ne 3 ]; then
    echo "usage: $0 REGION BUCKET YOUR_ADDRESS/32" >&2
    exit 2
fi
region=$1 bucket=$2 ssh_from=$3
stack=fpt-study
# NVIDIA's driver on Ubuntu 24.04, kept current by AWS. Ray's own default image is too old for today's torch.
image_parameter=/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id

vpc=$(aws ec2 describe-vpcs --region "$region" --filters Name=is-default,Values=true \
    --query 'Vpcs[0].VpcId' --output text)
if [ "$vpc" = None ]; then
    echo "region $region has no default network: make one with 'aws ec2 create-default-vpc --region $region'" >&2
    exit 2
fi
aws cloudformation deploy --region "$region" --stack-name "$stack" --template-file deploy/aws/access.yaml \
    --capabilities CAPABILITY_NAMED_IAM --no-fail-on-empty-changeset \
    --parameter-overrides Vpc="$vpc" Bucket="$bucket" SshFrom="$ssh_from"
group=$(aws cloudformation describe-stacks --region "$region" --stack-name "$stack" \
    --query "Stacks[0].Outputs[?OutputKey=='SecurityGroupId'].OutputValue" --output text)
# Looked up once and written down, so that every node of the cluster, today or after a week, has the same image.
image=$(aws ssm get-parameter --region "$region" --name "$image_parameter" --query Parameter.Value --output text)

sed -e "s/SECURITY_GROUP_ID/$group/" -e "s/IMAGE_ID/$image/" -e "s/region: REGION/region: $region/" \
    cluster.yaml >cluster.local.yaml
echo "cluster.local.yaml: region $region, image $image, firewall $group; next: ray up cluster.local.yaml"
